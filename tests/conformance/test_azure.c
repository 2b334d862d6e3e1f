/* SPDX-License-Identifier: Apache-2.0 */
/* Azure's driver under the suite of clouds. */

#include "base/str.h"
#include "cloud/azure/azure.h"
#include "clouds.h"

static const char *environment(const char *name)
{
    static const char *const variables[][2] = {
        {"AZURE_SUBSCRIPTION_ID", "00000000-0000-0000-0000-00000000a2e5"},
        {"AZURE_TENANT_ID", "11111111-1111-1111-1111-111111111111"},
        {"AZURE_CLIENT_ID", "22222222-2222-2222-2222-222222222222"},
        {"AZURE_CLIENT_SECRET", "mock-client-secret"},
    };
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        if (weir_streq(variables[i][0], name)) {
            return variables[i][1];
        }
    }
    return NULL;
}

int main(void)
{
    static const char *const options[] = {NULL};
    static const char *const endpoints[] = {"login_endpoint", "prices_endpoint", NULL};
    static const struct clouds_subject subject = {
        .base = {.name = "azure", .ops = &weir_azure_provider, .self_exe = "/proc/self/exe", .getenv = environment,
                 .type = "Standard_NC24ads_A100_v4", .region = "eastus"},
        .dialect = "azure",
        .options = options,
        .endpoints = endpoints,
        .conf = "\"agent\": \"/usr/bin/weir\", \"resource_group\": \"weir\", \"image\": \"microsoft-dsvm:ubuntu-hpc:2204:latest\","
                "\"ssh_key\": \"ssh-ed25519 AAAA me\", \"networks\": {\"eastus\": {\"subnet\":"
                " \"/subscriptions/0-0/resourceGroups/weir/providers/Microsoft.Network/virtualNetworks/v/subnets/s\"}},",
        .keys_expire = true,
        .late_refusal = true,
        .tells_prices = true,
        .zones = 2,
    };
    return clouds_run(&subject);
}
