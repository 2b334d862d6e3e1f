/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/provider.h"

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
