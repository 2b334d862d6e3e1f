/* SPDX-License-Identifier: Apache-2.0 */
/* Machines that boot by a shell script and have no notices of their own: what their sections have in common. */

#include <jansson.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cloud/boot.h"
#include "cloud/rest.h"
#include "cloud/section.h"

enum { BEFORE_BYTES_MAX = 16384 };

int weir_rest_boot_read(struct weir_rest_boot *ret, const json_t *section, const char *where, struct weir_err *err)
{
    char before[BEFORE_BYTES_MAX] = "";
    struct weir_rest_boot b = {.before = NULL};
    int r = weir_section_text(section, where, "agent", b.agent, sizeof b.agent, err);
    r = r < 0 ? r : weir_section_text(section, where, "declare_gpus", b.gpus, sizeof b.gpus, err);
    r = r < 0 ? r : weir_section_text(section, where, "before", before, sizeof before, err);
    if (r < 0) {
        return r;
    }
    b.before = before[0] == '\0' ? NULL : weir_strdup(before);
    *ret = b;
    return 0;
}

void weir_rest_boot_release(struct weir_rest_boot *b)
{
    free(b->before);
    b->before = NULL;
}

int weir_rest_boot_script(const struct weir_provider *p, const struct weir_rest_boot *b, const struct weir_launch *l, size_t bytes_max,
                          struct weir_str *ret, struct weir_err *err)
{
    const struct weir_boot boot = {.launch = l, .env = p->env, .pool = p->contract->name, .agent = b->agent[0] != '\0' ? b->agent : NULL,
                                   .before = b->before, .gpus = b->gpus[0] != '\0' ? b->gpus : NULL, .bytes_max = bytes_max};
    return weir_boot_script(&boot, ret, err);
}
