/* SPDX-License-Identifier: Apache-2.0 */

/* The GPU driver's library as a mock machine sees it: MOCK_NVML="name:count:MiB" in its environment says what devices it has. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memory {
    unsigned long long total, free, used;
};
struct pci {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
};

static char handles[16];
static char name[96];
static unsigned count;
static unsigned long long mem_mib;

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *n);
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h);
int nvmlDeviceGetName(void *h, char *buf, unsigned size);
int nvmlDeviceGetUUID(void *h, char *buf, unsigned size);
int nvmlDeviceGetMemoryInfo(void *h, struct memory *m);
int nvmlDeviceGetMinorNumber(void *h, unsigned *minor);
int nvmlDeviceGetPciInfo_v3(void *h, struct pci *p);
int nvmlDeviceGetNvLinkState(void *h, unsigned link, unsigned *active);
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void *h, unsigned link, struct pci *p);
int nvmlDeviceGetTotalEnergyConsumption(void *h, unsigned long long *mj);

static unsigned at(void *h)
{
    return (unsigned)((char *)h - handles);
}

int nvmlInit_v2(void)
{
    const char *text = getenv("MOCK_NVML");
    if (text == NULL || sscanf(text, "%95[^:]:%u:%llu", name, &count, &mem_mib) != 3 || count > sizeof handles) {
        return 9; /* no driver */
    }
    return 0;
}

int nvmlShutdown(void)
{
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *n)
{
    *n = count;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h)
{
    *h = &handles[i];
    return 0;
}

int nvmlDeviceGetName(void *h, char *buf, unsigned size)
{
    (void)h;
    (void)snprintf(buf, size, "%s", name);
    return 0;
}

/* Distinct on every machine, as real ones are: the machine's directory is part of it. */
int nvmlDeviceGetUUID(void *h, char *buf, unsigned size)
{
    const char *machine = getenv("HOME");
    unsigned hash = 5381;
    for (const char *c = machine; c != NULL && *c != '\0'; c++) {
        hash = hash * 33 + (unsigned char)*c;
    }
    (void)snprintf(buf, size, "GPU-%08x-%u", hash, at(h));
    return 0;
}

int nvmlDeviceGetMemoryInfo(void *h, struct memory *m)
{
    (void)h;
    memset(m, 0, sizeof *m);
    m->total = mem_mib << 20;
    return 0;
}

int nvmlDeviceGetMinorNumber(void *h, unsigned *minor)
{
    *minor = at(h);
    return 0;
}

int nvmlDeviceGetPciInfo_v3(void *h, struct pci *p)
{
    memset(p, 0, sizeof *p);
    p->bus = at(h) + 1;
    return 0;
}

int nvmlDeviceGetNvLinkState(void *h, unsigned link, unsigned *active)
{
    (void)h;
    (void)link;
    *active = 0;
    return 3;
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2(void *h, unsigned link, struct pci *p)
{
    (void)h;
    (void)link;
    memset(p, 0, sizeof *p);
    return 3;
}

int nvmlDeviceGetTotalEnergyConsumption(void *h, unsigned long long *mj)
{
    (void)h;
    *mj = 0;
    return 3;
}
