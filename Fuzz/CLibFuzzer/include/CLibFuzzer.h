// The way into libFuzzer for a program that has a main of its own.
#ifndef CLIBFUZZER_H
#define CLIBFUZZER_H

#include <stddef.h>
#include <stdint.h>

/// Reads the arguments, calls `callback` with inputs until it is told to stop, and returns the exit code. Defined by libFuzzer.
int LLVMFuzzerRunDriver(int *_Nonnull count, char *_Nullable *_Nullable *_Nonnull arguments, int (*_Nonnull callback)(const uint8_t *_Nullable data, size_t size));

#endif
