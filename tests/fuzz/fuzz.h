/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The entry of every fuzz target, as libFuzzer calls it. Returns 0; a finding is a crash. */

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
