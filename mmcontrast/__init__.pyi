from .data import *
from .encoders import *
from .losses import *
from .methods import *
from .models import *
from .predict import *
from .train import *

__version__: str
