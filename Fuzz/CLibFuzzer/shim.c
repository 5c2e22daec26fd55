// Nothing: SwiftPM wants a source file in a target.
#include "CLibFuzzer.h"
