// Everything that is compiled into the one library.
#include <stdlib.h>

#include "scan.c"
