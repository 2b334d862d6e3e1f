/* SPDX-License-Identifier: Apache-2.0 */
#include "hardware.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"
#include "cgroup.h"
#include "agent.h"
#include "nvml.h"

enum {
    AMD_VENDOR = 0x1002,
    DRM_MAJOR = 226, /* Linux's devices.txt */
    DRM_CARDS_MAX = 128,
};

/* ---- files ---- */

long weir_slurp(const char *path, char *buf, size_t size)
{
    WEIR_CLEANUP(weir_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -WEIR_ENOTFOUND;
    }
    size_t n = 0;
    while (n < size) {
        ssize_t got = read(fd, buf + n, size - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -WEIR_EIO;
        }
        if (got == 0) {
            break;
        }
        n += (size_t)got;
    }
    if (n == size) {
        return -WEIR_ELIMIT;
    }
    buf[n] = '\0';
    return (long)n;
}

int weir_poke(const char *path, const char *text)
{
    WEIR_CLEANUP(weir_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -WEIR_EIO;
    }
    size_t n = strlen(text);
    return write(fd, text, n) == (ssize_t)n ? 0 : -WEIR_EIO;
}

static bool read_number(const char *path, uint64_t *ret)
{
    char text[64];
    long n = weir_slurp(path, text, sizeof text);
    return n > 0 && weir_parse_u64(weir_sv_trim((struct weir_sv){text, (size_t)n}), 0, UINT64_MAX, ret, NULL) == 0;
}

/* ---- cores and memory ---- */

uint32_t weir_cpu_milli_from_quota(int64_t quota_us, int64_t period_us)
{
    if (quota_us <= 0 || period_us <= 0 || quota_us > INT64_MAX / 1000) {
        return 0;
    }
    int64_t milli = quota_us * 1000 / period_us;
    return milli > UINT32_MAX ? UINT32_MAX : (uint32_t)milli;
}

uint64_t weir_meminfo_total_mib(struct weir_sv text)
{
    struct weir_sv rest = text;
    while (rest.p != NULL) {
        struct weir_sv line = weir_sv_cut(&rest, '\n');
        struct weir_sv key = weir_sv_cut(&line, ':');
        if (weir_sv_eq(key, WEIR_SV("MemTotal"))) {
            uint64_t kib = 0;
            struct weir_sv value = weir_sv_trim(line);
            if (weir_parse_u64(weir_sv_cut(&value, ' '), 0, UINT64_MAX, &kib, NULL) == 0) {
                return kib / 1024;
            }
        }
    }
    return 0;
}

static uint32_t find_cpu_milli(void)
{
    cpu_set_t set;
    long n = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        n = CPU_COUNT(&set);
    }
    if (n <= 0) {
        n = sysconf(_SC_NPROCESSORS_ONLN);
    }
    uint32_t milli = n < 1 ? 1000 : (uint32_t)n * 1000;
    uint32_t quota = weir_cgroup_own_cpu_milli();
    return quota != 0 && quota < milli ? quota : milli;
}

static uint64_t find_mem_mib(const char *proc_root)
{
    char path[300], text[8192];
    (void)snprintf(path, sizeof path, "%s/meminfo", proc_root);
    long n = weir_slurp(path, text, sizeof text);
    uint64_t mib = n > 0 ? weir_meminfo_total_mib((struct weir_sv){text, (size_t)n}) : 0;
    uint64_t limit = weir_cgroup_own_mem_mib();
    return limit != 0 && (mib == 0 || limit < mib) ? limit : mib;
}

/* ---- GPUs ---- */

static void fill_from_model(struct weir_device *d, struct weir_gpu_table *models)
{
    uint16_t m = weir_gpu_table_intern(models, weir_sv_of(d->model));
    if (m == WEIR_GPU_MODEL_ANY) {
        return;
    }
    const struct weir_gpu_model *g = weir_gpu_table_get(models, m);
    d->watts = g->watts;
    d->idle_watts = g->idle_watts;
    if (d->mem_mib == 0) {
        d->mem_mib = g->mem_mib;
    }
    if (d->kind == WEIR_DEVICE_DECLARED) {
        (void)snprintf(d->model, sizeof d->model, "%s", g->name);
    }
}

static int declare(struct weir_hardware *h, const char *text, struct weir_gpu_table *models, struct weir_err *err)
{
    struct weir_sv rest = weir_sv_of(text);
    while (rest.p != NULL) {
        struct weir_sv count_text = weir_sv_trim(weir_sv_cut(&rest, ','));
        struct weir_sv name = weir_sv_trim(weir_sv_cut(&count_text, ':'));
        uint64_t count = 1;
        if (name.n == 0 || name.n > 48 || !weir_utf8_is_text(name)) {
            return weir_fail(err, -WEIR_EINVAL, "declared GPUs '%.100s': write MODEL:COUNT, as in A100:4", text);
        }
        if (count_text.p != NULL && weir_parse_u64(count_text, 1, WEIR_NODE_GPUS_MAX, &count, err) < 0) {
            return weir_fail_prefix(err, -WEIR_EINVAL, "declared GPUs '%.100s'", text);
        }
        if (h->n_gpus + count > WEIR_NODE_GPUS_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "declared GPUs '%.100s': more than %d on one host", text, WEIR_NODE_GPUS_MAX);
        }
        for (uint64_t i = 0; i < count; i++) {
            struct weir_device *d = &h->gpu[h->n_gpus];
            *d = (struct weir_device){.kind = WEIR_DEVICE_DECLARED, .index = (uint32_t)h->n_gpus};
            (void)snprintf(d->model, sizeof d->model, "%.*s", WEIR_SV_ARG(name));
            (void)snprintf(d->uuid, sizeof d->uuid, "declared-%zu", h->n_gpus);
            fill_from_model(d, models);
            h->n_gpus++;
        }
    }
    h->declared = true;
    return 0;
}

int weir_agent_check_gpus(const char *text, struct weir_str *doubt, struct weir_err *err)
{
    struct weir_hardware h = {0};
    struct weir_gpu_table *models = weir_gpu_table_new(); /* learns what is declared */
    struct weir_gpu_table *table = weir_gpu_table_new();
    const char *known[WEIR_GPU_MODELS_MAX + 1] = {0};
    for (size_t i = 0; i < weir_gpu_table_count(table); i++) {
        known[i] = weir_gpu_table_get(table, (uint16_t)i)->name;
    }
    int r = declare(&h, text, models, err);
    for (size_t i = 0; i < h.n_gpus && r == 0; i++) {
        const char *model = h.gpu[i].model;
        bool again = i > 0 && weir_streq(model, h.gpu[i - 1].model);
        if (again || weir_gpu_table_find(table, weir_sv_of(model)) != WEIR_GPU_MODEL_ANY) {
            continue;
        }
        const char *near = weir_nearest(weir_sv_of(model), known);
        weir_str_addf(doubt, "%s'%s' is no known GPU model: ", doubt->n == 0 ? "" : "; ", model);
        if (near != NULL) {
            weir_str_addf(doubt, "did you mean '%s'?", near);
        } else {
            weir_str_adds(doubt, "nothing is known of its memory, speed or power, and only jobs that ask for it by this name, or for any GPU, get it");
        }
    }
    weir_gpu_table_free(table);
    weir_gpu_table_free(models);
    return r;
}

static uint64_t read_hex(const char *path)
{
    char text[32];
    uint64_t v = 0;
    long n = weir_slurp(path, text, sizeof text);
    struct weir_sv s = weir_sv_trim((struct weir_sv){text, n > 0 ? (size_t)n : 0});
    if (weir_sv_starts(s, WEIR_SV("0x"))) {
        s.p += 2;
        s.n -= 2;
    }
    for (size_t i = 0; i < s.n && i < 16; i++) {
        char c = s.p[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
        if (digit == 16) {
            return 0;
        }
        v = v << 4 | digit;
    }
    return v;
}

/* Finds the entry of dir that starts with prefix; false where there is none. */
static bool find_entry(const char *dir, const char *prefix, char *ret, size_t size)
{
    DIR *d = opendir(dir);
    bool found = false;
    const struct dirent *e;
    while (d != NULL && !found && (e = readdir(d)) != NULL) {
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0) {
            size_t n = strlen(e->d_name);
            found = n < size;
            memcpy(ret, e->d_name, found ? n + 1 : 0);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return found;
}

static bool read_amd_card(const char *sys_root, unsigned card, struct weir_device *d)
{
    char dir[300], path[600], text[128], name[64];
    uint64_t vram = 0;
    (void)snprintf(dir, sizeof dir, "%s/class/drm/card%u/device", sys_root, card);
    (void)snprintf(path, sizeof path, "%s/vendor", dir);
    if (read_hex(path) != AMD_VENDOR) {
        return false;
    }
    (void)snprintf(path, sizeof path, "%s/mem_info_vram_total", dir);
    if (!read_number(path, &vram) || vram == 0) {
        return false;
    }
    *d = (struct weir_device){.kind = WEIR_DEVICE_AMD, .mem_mib = (uint32_t)(vram >> 20)};
    (void)snprintf(path, sizeof path, "%s/product_name", dir);
    long n = weir_slurp(path, text, sizeof text);
    struct weir_sv product = weir_sv_trim((struct weir_sv){text, n > 0 ? (size_t)n : 0});
    if (product.n > 0) {
        (void)snprintf(d->model, sizeof d->model, "%.*s", (int)(product.n > 63 ? 63 : product.n), product.p);
    } else {
        (void)snprintf(path, sizeof path, "%s/device", dir);
        (void)snprintf(d->model, sizeof d->model, "AMD %04llx", (unsigned long long)read_hex(path));
    }
    (void)snprintf(path, sizeof path, "%s/unique_id", dir);
    n = weir_slurp(path, text, sizeof text);
    struct weir_sv id = weir_sv_trim((struct weir_sv){text, n > 0 ? (size_t)n : 0});
    if (id.n > 0) { /* a name that several share would be none */
        (void)snprintf(d->uuid, sizeof d->uuid, "AMD-%.*s", (int)(id.n > 40 ? 40 : id.n), id.p);
    }
    (void)snprintf(path, sizeof path, "%s/drm", dir);
    if (find_entry(path, "renderD", name, sizeof name)) {
        uint64_t minor = 0;
        if (weir_parse_u64(weir_sv_of(name + 7), 0, 1 << 20, &minor, NULL) == 0) {
            d->dev_major = DRM_MAJOR;
            d->dev_minor = (unsigned)minor;
            (void)snprintf(d->path, sizeof d->path, "/dev/dri/%s", name);
        }
    }
    (void)snprintf(path, sizeof path, "%s/hwmon", dir);
    if (find_entry(path, "hwmon", name, sizeof name)) {
        uint64_t uj = 0;
        (void)snprintf(path, sizeof path, "%s/hwmon/%s/energy1_input", dir, name);
        d->has_energy = strlen(path) < sizeof d->energy_path && read_number(path, &uj);
        if (d->has_energy) {
            memcpy(d->energy_path, path, strlen(path) + 1);
        }
    }
    return true;
}

static void find_amd(struct weir_hardware *h, const char *sys_root)
{
    for (unsigned card = 0; card < DRM_CARDS_MAX && h->n_gpus < WEIR_NODE_GPUS_MAX; card++) {
        struct weir_device *d = &h->gpu[h->n_gpus];
        if (read_amd_card(sys_root, card, d)) {
            d->index = (uint32_t)h->n_gpus++;
        }
    }
}

static void find_energy(struct weir_hardware *h, const char *sys_root)
{
    uint64_t uj = 0;
    char path[256];
    (void)snprintf(path, sizeof path, "%s/class/powercap/intel-rapl:0/energy_uj", sys_root);
    if (read_number(path, &uj)) {
        memcpy(h->rapl_path, path, sizeof path);
    }
    bool all = h->n_gpus > 0;
    for (size_t i = 0; i < h->n_gpus; i++) {
        all = all && h->gpu[i].has_energy && h->gpu[i].kind == WEIR_DEVICE_NVIDIA;
    }
    h->energy = all ? WEIR_ENERGY_NVML : h->rapl_path[0] != '\0' && h->n_gpus == 0 ? WEIR_ENERGY_RAPL : WEIR_ENERGY_MODELLED;
}

int weir_hardware_find(struct weir_hardware *ret,
                       const struct weir_hardware_conf *conf,
                       struct weir_gpu_table *models,
                       struct weir_err *err)
{
    struct weir_hardware *h = weir_alloc(sizeof *h);
    const char *sys_root = conf->sys_root == NULL ? "/sys" : conf->sys_root;
    h->cpu_milli = conf->cpu_milli != 0 ? conf->cpu_milli : find_cpu_milli();
    h->mem_mib = conf->mem_mib != 0 ? conf->mem_mib : find_mem_mib(conf->proc_root == NULL ? "/proc" : conf->proc_root);
    h->cgroup = "none";
    h->declaration = conf->gpus != NULL ? conf->gpus : conf->cpu_milli != 0 || conf->mem_mib != 0 ? "" : NULL;
    if (conf->gpus != NULL && !weir_streq(conf->gpus, "none") && conf->gpus[0] != '\0') {
        int rc = declare(h, conf->gpus, models, err);
        if (rc < 0) {
            free(h);
            return rc;
        }
    } else if (conf->gpus == NULL) {
        h->nvml = weir_nvml_open(conf->nvml_path == NULL ? "libnvidia-ml.so.1" : conf->nvml_path, NULL);
        if (h->nvml != NULL) {
            h->n_gpus = weir_nvml_devices(h->nvml, h->gpu, WEIR_NODE_GPUS_MAX);
        }
        if (h->n_gpus == 0) {
            weir_nvml_close(h->nvml);
            h->nvml = NULL;
            find_amd(h, sys_root);
        }
        for (size_t i = 0; i < h->n_gpus; i++) {
            fill_from_model(&h->gpu[i], models);
        }
    }
    find_energy(h, sys_root);
    *ret = *h;
    free(h);
    return 0;
}

void weir_hardware_release(struct weir_hardware *h)
{
    weir_nvml_close(h->nvml);
    *h = (struct weir_hardware){0};
}

/* ---- energy ---- */

bool weir_device_energy_mj(const struct weir_hardware *h, const struct weir_device *d, uint64_t *ret_mj)
{
    uint64_t uj = 0;
    if (!d->has_energy) {
        return false;
    }
    if (d->kind == WEIR_DEVICE_NVIDIA) {
        return h->nvml != NULL && weir_nvml_energy_mj(h->nvml, d->index, ret_mj);
    }
    if (!read_number(d->energy_path, &uj)) {
        return false;
    }
    *ret_mj = uj / 1000;
    return true;
}

bool weir_hardware_rapl_mj(const struct weir_hardware *h, uint64_t *ret_mj, uint64_t *ret_wrap_mj)
{
    uint64_t uj = 0, wrap = 0;
    char path[256];
    if (h->rapl_path[0] == '\0' || !read_number(h->rapl_path, &uj)) {
        return false;
    }
    const char *slash = strrchr(h->rapl_path, '/');
    (void)snprintf(path, sizeof path, "%.*s/max_energy_range_uj", (int)(slash - h->rapl_path), h->rapl_path);
    (void)read_number(path, &wrap);
    *ret_mj = uj / 1000;
    *ret_wrap_mj = wrap / 1000;
    return true;
}
