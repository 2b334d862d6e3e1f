/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "file.h"
#include "mem.h"
#include "str.h"
#include "zone.h"

enum { NAME_MAX_BYTES = 64, FILE_BYTES_MAX = 1 << 20 };

/* Names of the database only: no way out of its folder. */
static bool is_name(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && strchr("_+-", c) == NULL && !(c == '/' && i > 0 && i + 1 < n)) {
            return false;
        }
    }
    return n > 0 && n <= NAME_MAX_BYTES;
}

int weir_zone_load(struct weir_zone **ret, const char *name, struct weir_err *err)
{
    char path[128];
    WEIR_CLEANUP(weir_freep) char *bytes = NULL;
    size_t n = 0;
    if (weir_streq(name, "UTC")) {
        *ret = NULL;
        return 0;
    }
    if (!is_name(name)) {
        return weir_fail(err, -WEIR_EINVAL, "time zone '%.64s': a name is like Europe/Berlin", name);
    }
    (void)snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    if (weir_file_read(path, FILE_BYTES_MAX, &bytes, &n, NULL) < 0) {
        return weir_fail(
            err, -WEIR_EINVAL,
            "time zone '%s' is not known: is it written like Europe/Berlin, and is package tzdata installed?", name);
    }
    int r = weir_zone_parse(ret, bytes, n, err);
    return r < 0 ? weir_fail_prefix(err, r, "time zone '%s'", name) : 0;
}
