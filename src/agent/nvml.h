/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * NVIDIA's management library, loaded at run time: nothing of it is needed to build, and a host
 * without it has no NVIDIA GPUs. The declarations are our own, after the documented ABI of NVML
 * (functions with their _v2 and _v3 suffixes; structures nvmlMemory_t and nvmlPciInfo_t).
 */

#include "hardware.h"

struct weir_nvml;

/* NULL where the library is absent, too old, or finds no driver; why (may be NULL) then tells. */
struct weir_nvml *weir_nvml_open(const char *path, struct weir_err *why);
void weir_nvml_close(struct weir_nvml *n);
/* Fills up to max devices; returns how many. */
size_t weir_nvml_devices(struct weir_nvml *n, struct weir_device *ret, size_t max);
/* The energy counter since the driver was loaded; false where the device has none. */
bool weir_nvml_energy_mj(struct weir_nvml *n, uint32_t index, uint64_t *ret_mj);
