/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the host has: cores, memory and GPUs, and what they draw. GPUs come from the declaration, else
 * from NVML, else from the amdgpu driver's sysfs files. Nothing here fails for want of a device: a
 * host without any has none.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "core/gpu.h"
#include "core/model.h"

enum weir_device_kind {
    WEIR_DEVICE_DECLARED, /* does not exist; for trying things out */
    WEIR_DEVICE_NVIDIA,
    WEIR_DEVICE_AMD,
};

struct weir_device {
    enum weir_device_kind kind;
    uint32_t index;
    char uuid[80];
    char model[64];
    uint32_t mem_mib;
    uint8_t link_group; /* 0: not known or none */
    uint32_t watts;     /* while used; for models of energy */
    uint32_t idle_watts;
    bool has_energy; /* a counter can be read */
    /* the device node that a task needs to open; major 0: not known */
    unsigned dev_major;
    unsigned dev_minor;
    char path[128];        /* "/dev/nvidia0", "/dev/dri/renderD128"; "" where declared */
    char energy_path[256]; /* amdgpu: the counter's file, microjoules */
};

enum weir_energy_source {
    WEIR_ENERGY_MODELLED,
    WEIR_ENERGY_RAPL,
    WEIR_ENERGY_NVML,
};

struct weir_hardware {
    uint32_t cpu_milli;
    uint64_t mem_mib;
    bool declared;
    /* What a person said that is offered: the GPUs ("A100:4"), or "" where cores or memory only. NULL: all as found. Static or the
     * configuration's. */
    const char *declaration;
    size_t n_gpus;
    struct weir_device gpu[WEIR_NODE_GPUS_MAX];
    enum weir_energy_source energy;
    char rapl_path[256]; /* "" where the host's energy cannot be read */
    const char *cgroup;  /* "v2", "v1" or "none"; static */
    struct weir_nvml *nvml; /* open while a device of it is listed */
};

struct weir_hardware_conf {
    const char *gpus;      /* "A100:4"; NULL: as found; "none": none */
    const char *nvml_path; /* NULL: "libnvidia-ml.so.1" */
    const char *sys_root;  /* NULL: "/sys" */
    const char *proc_root; /* NULL: "/proc" */
    uint32_t cpu_milli;    /* 0: as found */
    uint64_t mem_mib;
};

/* Errors: -WEIR_EINVAL (the declaration). Release with weir_hardware_release. */
int weir_hardware_find(struct weir_hardware *ret,
                       const struct weir_hardware_conf *conf,
                       struct weir_gpu_table *models,
                       struct weir_err *err);
void weir_hardware_release(struct weir_hardware *h);

/* The number that the host's tools give to the i-th of the devices that are offered: one that is broken keeps its own. */
static inline uint32_t weir_device_number(const struct weir_hardware *h, uint32_t i)
{
    return i < h->n_gpus ? h->gpu[i].index : i;
}

/* The device's energy counter in millijoules; false where there is none or it cannot be read now. */
bool weir_device_energy_mj(const struct weir_hardware *h, const struct weir_device *d, uint64_t *ret_mj);
/* The processors' energy counter in millijoules, which wraps; false where there is none. */
bool weir_hardware_rapl_mj(const struct weir_hardware *h, uint64_t *ret_mj, uint64_t *ret_wrap_mj);

/* The reads that need no host: cores by a cpu.max or cfs quota text, memory by a meminfo text. */
uint32_t weir_cpu_milli_from_quota(int64_t quota_us, int64_t period_us);
uint64_t weir_meminfo_total_mib(struct weir_sv text);

/* A whole small file, terminated; -WEIR_ENOTFOUND where it cannot be opened, -WEIR_ELIMIT where it
 * is larger than size - 1. Returns the number of bytes. */
long weir_slurp(const char *path, char *buf, size_t size);
/* Writes text to an existing file in one write. Errors: -WEIR_EIO with errno kept. */
int weir_poke(const char *path, const char *text);
