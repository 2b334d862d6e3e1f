/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A stand-in for libnvidia-ml.so.1 with four devices: 0 and 1 linked to each other, 2 and 3 on switches. MOCK_NVML in the environment
 * ("NVIDIA L4:1:23034": name, how many up to eight, MiB each) says what else there is, as on a machine of the mock cloud.
 */

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

static char handles[8];

/* The n-th field of MOCK_NVML; NULL where it is not set. */
static const char *field(int n, size_t *ret_n)
{
    const char *p = getenv("MOCK_NVML");
    for (; p != NULL && n > 0; n--) {
        p = strchr(p, ':');
        p = p == NULL ? NULL : p + 1;
    }
    *ret_n = p == NULL ? 0 : strcspn(p, ":");
    return p;
}

static unsigned long number(int n, unsigned long otherwise)
{
    size_t size;
    const char *p = field(n, &size);
    return p == NULL ? otherwise : strtoul(p, NULL, 10);
}

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
    return 0;
}

int nvmlShutdown(void)
{
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *n)
{
    unsigned long wanted = number(1, 4);
    *n = wanted < sizeof handles ? (unsigned)wanted : (unsigned)sizeof handles;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h)
{
    *h = &handles[i];
    return 0;
}

int nvmlDeviceGetName(void *h, char *buf, unsigned size)
{
    size_t n;
    const char *name = field(0, &n);
    (void)h;
    if (name == NULL) {
        name = "NVIDIA A100-SXM4-80GB";
        n = strlen(name);
    }
    (void)snprintf(buf, size, "%.*s", (int)n, name);
    return 0;
}

int nvmlDeviceGetUUID(void *h, char *buf, unsigned size)
{
    const char *machine = getenv("WEIR_MOCK_MACHINE"); /* a card is in one machine only */
    const char *base = machine == NULL ? NULL : strrchr(machine, '/');
    (void)snprintf(buf, size, "GPU-%s0000000%u", base == NULL ? "" : base + 1, at(h));
    return 0;
}

int nvmlDeviceGetMemoryInfo(void *h, struct memory *m)
{
    (void)h;
    m->total = (unsigned long long)number(2, 81920) << 20;
    return 0;
}

int nvmlDeviceGetMinorNumber(void *h, unsigned *minor)
{
    *minor = at(h) + 4;
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
    *active = link == 0;
    return link < 12 ? 0 : 3;
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2(void *h, unsigned link, struct pci *p)
{
    (void)link;
    memset(p, 0, sizeof *p);
    p->bus = at(h) == 0 ? 2 : at(h) == 1 ? 1 : 100 + at(h);
    return 0;
}

int nvmlDeviceGetTotalEnergyConsumption(void *h, unsigned long long *mj)
{
    *mj = 1000 * (at(h) + 1);
    return 0;
}
