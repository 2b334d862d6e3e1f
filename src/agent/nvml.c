/* SPDX-License-Identifier: Apache-2.0 */
#include "nvml.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum {
    NVML_SUCCESS = 0,
    NVML_LINKS_MAX = 18,
    NVML_FEATURE_ENABLED = 1,
    NVIDIA_MAJOR = 195, /* character device number of /dev/nvidia*, from Linux's devices.txt */
};

typedef void *nvml_device;

struct nvml_memory {
    unsigned long long total, free, used;
};

struct nvml_pci {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
};

struct weir_nvml {
    void *lib;
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *);
    int (*by_index)(unsigned, nvml_device *);
    int (*name)(nvml_device, char *, unsigned);
    int (*uuid)(nvml_device, char *, unsigned);
    int (*memory)(nvml_device, struct nvml_memory *);
    /* the rest may be absent in old versions */
    int (*minor)(nvml_device, unsigned *);
    int (*pci)(nvml_device, struct nvml_pci *);
    int (*link_state)(nvml_device, unsigned, unsigned *);
    int (*link_remote)(nvml_device, unsigned, struct nvml_pci *);
    int (*energy)(nvml_device, unsigned long long *);
};

/* dlsym gives an object pointer; POSIX promises that it holds a function. */
static bool sym(void *lib, const char *name, void *slot)
{
    void *p = dlsym(lib, name);
    memcpy(slot, &p, sizeof p);
    return p != NULL;
}

struct weir_nvml *weir_nvml_open(const char *path, struct weir_err *why)
{
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (lib == NULL) {
        (void)weir_fail(why, -WEIR_ENOTFOUND, "NVML: %s", dlerror());
        return NULL;
    }
    struct weir_nvml *n = weir_alloc(sizeof *n);
    n->lib = lib;
    bool ok = sym(lib, "nvmlInit_v2", &n->init) && sym(lib, "nvmlShutdown", &n->shutdown) &&
              sym(lib, "nvmlDeviceGetCount_v2", &n->count) && sym(lib, "nvmlDeviceGetHandleByIndex_v2", &n->by_index) &&
              sym(lib, "nvmlDeviceGetName", &n->name) && sym(lib, "nvmlDeviceGetUUID", &n->uuid) &&
              sym(lib, "nvmlDeviceGetMemoryInfo", &n->memory);
    if (!ok) {
        (void)weir_fail(why, -WEIR_EUNSUPPORTED, "NVML: '%s' lacks functions that weir needs", path);
        (void)dlclose(lib);
        free(n);
        return NULL;
    }
    (void)sym(lib, "nvmlDeviceGetMinorNumber", &n->minor);
    (void)sym(lib, "nvmlDeviceGetPciInfo_v3", &n->pci);
    (void)sym(lib, "nvmlDeviceGetNvLinkState", &n->link_state);
    (void)sym(lib, "nvmlDeviceGetNvLinkRemotePciInfo_v2", &n->link_remote);
    (void)sym(lib, "nvmlDeviceGetTotalEnergyConsumption", &n->energy);
    int rc = n->init();
    if (rc != NVML_SUCCESS) {
        (void)weir_fail(why, -WEIR_EUNAVAIL, "NVML: initialisation failed with code %d (is the driver loaded?)", rc);
        (void)dlclose(lib);
        free(n);
        return NULL;
    }
    return n;
}

void weir_nvml_close(struct weir_nvml *n)
{
    if (n == NULL) {
        return;
    }
    (void)n->shutdown();
    (void)dlclose(n->lib);
    free(n);
}

static bool read_device(struct weir_nvml *n, uint32_t index, struct weir_device *d, nvml_device *ret_handle)
{
    struct nvml_memory memory = {0};
    unsigned minor = 0;
    unsigned long long mj = 0;
    if (n->by_index(index, ret_handle) != NVML_SUCCESS) {
        return false; /* this one is broken or not ours to see; the others may be well */
    }
    *d = (struct weir_device){.kind = WEIR_DEVICE_NVIDIA, .index = index};
    if (n->name(*ret_handle, d->model, sizeof d->model) != NVML_SUCCESS ||
        n->uuid(*ret_handle, d->uuid, sizeof d->uuid) != NVML_SUCCESS ||
        n->memory(*ret_handle, &memory) != NVML_SUCCESS) {
        return false;
    }
    d->model[sizeof d->model - 1] = '\0';
    d->uuid[sizeof d->uuid - 1] = '\0';
    d->mem_mib = (uint32_t)(memory.total >> 20);
    if (n->minor != NULL && n->minor(*ret_handle, &minor) == NVML_SUCCESS) {
        d->dev_major = NVIDIA_MAJOR;
        d->dev_minor = minor;
        (void)snprintf(d->path, sizeof d->path, "/dev/nvidia%u", minor);
    }
    d->has_energy = n->energy != NULL && n->energy(*ret_handle, &mj) == NVML_SUCCESS;
    return true;
}

static bool same_pci(const struct nvml_pci *a, const struct nvml_pci *b)
{
    return a->domain == b->domain && a->bus == b->bus && a->device == b->device;
}

/*
 * Devices whose links lead to each other share a group. A link that leads to none of the devices
 * leads to a switch, and all devices on switches share one group.
 */
static void find_link_groups(struct weir_nvml *n, const nvml_device *handle, struct weir_device *d, size_t count)
{
    struct nvml_pci pci[WEIR_NODE_GPUS_MAX] = {0};
    uint8_t root[WEIR_NODE_GPUS_MAX];
    bool linked[WEIR_NODE_GPUS_MAX] = {false};
    size_t on_switch = SIZE_MAX;
    if (n->pci == NULL || n->link_state == NULL || n->link_remote == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        root[i] = (uint8_t)i;
        if (n->pci(handle[i], &pci[i]) != NVML_SUCCESS) {
            return;
        }
    }
    for (size_t i = 0; i < count; i++) {
        for (unsigned link = 0; link < NVML_LINKS_MAX; link++) {
            unsigned active = 0;
            struct nvml_pci remote = {0};
            if (n->link_state(handle[i], link, &active) != NVML_SUCCESS || active != NVML_FEATURE_ENABLED ||
                n->link_remote(handle[i], link, &remote) != NVML_SUCCESS) {
                continue;
            }
            size_t peer = 0;
            while (peer < count && !same_pci(&pci[peer], &remote)) {
                peer++;
            }
            if (peer == count) {
                on_switch = on_switch == SIZE_MAX ? i : on_switch;
                peer = on_switch;
            }
            linked[i] = true;
            linked[peer] = true;
            uint8_t from = root[i] > root[peer] ? root[i] : root[peer];
            uint8_t to = root[i] > root[peer] ? root[peer] : root[i];
            for (size_t k = 0; k < count; k++) {
                root[k] = root[k] == from ? to : root[k];
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        d[i].link_group = linked[i] ? (uint8_t)(root[i] + 1) : 0;
    }
}

size_t weir_nvml_devices(struct weir_nvml *n, struct weir_device *ret, size_t max)
{
    unsigned count = 0;
    nvml_device handle[WEIR_NODE_GPUS_MAX];
    if (n->count(&count) != NVML_SUCCESS) {
        return 0;
    }
    size_t found = 0;
    for (unsigned i = 0; i < count && found < max && found < WEIR_NODE_GPUS_MAX; i++) {
        if (read_device(n, i, &ret[found], &handle[found])) {
            found++;
        }
    }
    find_link_groups(n, handle, ret, found);
    return found;
}

bool weir_nvml_energy_mj(struct weir_nvml *n, uint32_t index, uint64_t *ret_mj)
{
    nvml_device handle;
    unsigned long long mj = 0;
    if (n->energy == NULL || n->by_index(index, &handle) != NVML_SUCCESS || n->energy(handle, &mj) != NVML_SUCCESS) {
        return false;
    }
    *ret_mj = mj;
    return true;
}
