// Everything that is compiled into the one library.
#include "conv.c"
#include "halves.c"
#include "scan.c"
#include "spiking.c"
#include "sums.c"
