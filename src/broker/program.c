/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The program that rented machines run as their agent: the broker's own, by the file that it was started from even where that was
 * replaced meanwhile, or one of the directory `agent_programs` of the configuration, which has weir-x86_64 and weir-aarch64.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker_priv.h"
#include "net/digest.h"

#if defined(__x86_64__)
#define OWN_ARCH "x86_64"
#elif defined(__aarch64__)
#define OWN_ARCH "aarch64"
#else
#define OWN_ARCH ""
#endif

/* One name for each processor, whatever a system calls it; NULL where it is not known. */
static const char *arch_name(const char *arch)
{
    static const char *const names[][2] = {{"x86_64", "x86_64"}, {"amd64", "x86_64"}, {"aarch64", "aarch64"}, {"arm64", "aarch64"}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        if (weir_streq(names[i][0], arch)) {
            return names[i][1];
        }
    }
    return NULL;
}

int program_open(struct weir_service *s, const char *arch, struct weir_err *err)
{
    const struct broker *b = (const struct broker *)s; /* what is read here does not change while the broker runs */
    const char *name = arch_name(arch);
    char path[4200];
    if (name == NULL) {
        return weir_fail(err, -WEIR_ENOTFOUND, "no processor '%.32s' is known: x86_64 and aarch64 are", arch);
    }
    if (b->config->agent_programs[0] != '\0') {
        (void)snprintf(path, sizeof path, "%s/weir-%s", b->config->agent_programs, name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 || errno != ENOENT) {
            return fd >= 0 ? fd : weir_fail(err, weir_error_from_errno(errno), "%s: %s", path, strerror(errno));
        }
    }
    int fd = weir_streq(name, OWN_ARCH) ? open("/proc/self/exe", O_RDONLY | O_CLOEXEC) : -1;
    return fd >= 0 ? fd : weir_fail(err, -WEIR_ENOTFOUND, "there is no agent's program for %s: put it into 'agent_programs' as weir-%s", name, name);
}

const char *program_sum(void *broker, const char *arch)
{
    struct broker *b = broker;
    struct program_sum *p = &b->program_sum[weir_streq(arch, "aarch64") ? 1 : 0];
    struct stat st;
    int WEIR_CLEANUP(weir_closep) fd = program_open(&b->service, arch, NULL);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return NULL;
    }
    bool same = p->hex[0] != '\0' && p->inode == st.st_ino && p->device == st.st_dev && p->bytes == st.st_size && p->changed == st.st_mtim.tv_sec;
    uint64_t bytes;
    if (!same && weir_sha256_fd(fd, "the agent's program", p->hex, &bytes, NULL) < 0) {
        p->hex[0] = '\0';
        return NULL;
    }
    p->inode = st.st_ino;
    p->device = st.st_dev;
    p->bytes = st.st_size;
    p->changed = st.st_mtim.tv_sec;
    return p->hex;
}
