/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/provider.h"

#include <stdio.h>

#include "base/str.h"
#include "cloud/azure/azure.h"
#include "cloud/digitalocean/digitalocean.h"
#include "cloud/ec2/ec2.h"
#include "cloud/gce/gce.h"
#include "cloud/lambda/lambda.h"
#include "cloud/openstack/openstack.h"
#include "cloud/paperspace/paperspace.h"
#include "cloud/runpod/runpod.h"
#include "cloud/sandbox/sandbox.h"
#include "cloud/vast/vast.h"

const struct weir_provider_ops *const weir_providers[] = {
    &weir_azure_provider,
    &weir_digitalocean_provider,
    &weir_ec2_provider,
    &weir_gce_provider,
    &weir_lambda_provider,
    &weir_openstack_provider,
    &weir_paperspace_provider,
    &weir_runpod_provider,
    &weir_sandbox_provider,
    &weir_vast_provider,
    NULL,
};

const struct weir_provider_ops *weir_provider_find(const char *name)
{
    for (const struct weir_provider_ops *const *p = weir_providers; *p != NULL; p++) {
        if (weir_streq((*p)->name, name)) {
            return *p;
        }
    }
    return NULL;
}

void weir_provider_unknown(const char *name, char *ret, size_t size)
{
    const char *names[sizeof weir_providers / sizeof *weir_providers] = {0};
    struct weir_str known = WEIR_STR_INIT(256);
    for (size_t i = 0; weir_providers[i] != NULL; i++) {
        names[i] = weir_providers[i]->name;
        weir_str_addf(&known, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    const char *near = weir_nearest(weir_sv_of(name), names);
    if (near != NULL) {
        (void)snprintf(ret, size, "there is no driver '%s'; did you mean '%s'?", name, near);
    } else {
        (void)snprintf(ret, size, "there is no driver '%s'; this version has %s", name, weir_str_cstr(&known));
    }
    weir_str_release(&known);
}
