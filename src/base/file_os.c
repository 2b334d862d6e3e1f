/* SPDX-License-Identifier: Apache-2.0 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "str.h"

static int fail(const char *name, int e, struct weir_err *err)
{
    char text[128];
    if (e == EISDIR) {
        return weir_fail(err, weir_error_from_errno(e), "%s is a directory: name a file", name);
    }
    return weir_fail(err, weir_error_from_errno(e), "%s: %s", name, strerror_r(e, text, sizeof text));
}

int weir_file_read_fd(int fd, const char *name, size_t max, char **ret, size_t *ret_n, struct weir_err *err)
{
    struct weir_str s = WEIR_STR_INIT(max);
    for (;;) {
        char buf[16384];
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            int e = errno;
            weir_str_release(&s);
            return fail(name, e, err);
        }
        if (n == 0) {
            break;
        }
        weir_str_add(&s, buf, (size_t)n);
        if (s.overflowed) {
            weir_str_release(&s);
            return weir_fail(err, -WEIR_ELIMIT, "%s: larger than %zu bytes", name, max);
        }
    }
    *ret_n = s.n;
    *ret = weir_str_take(&s);
    return 0;
}

int weir_file_read(const char *path, size_t max, char **ret, size_t *ret_n, struct weir_err *err)
{
    WEIR_CLEANUP(weir_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? fail(path, errno, err) : weir_file_read_fd(fd, path, max, ret, ret_n, err);
}
