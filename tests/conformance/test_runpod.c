/* SPDX-License-Identifier: Apache-2.0 */
/* RunPod's driver under the suite of clouds. */

#include "base/str.h"
#include "cloud/runpod/runpod.h"
#include "clouds.h"

static const char *environment(const char *name)
{
    return weir_streq(name, "RUNPOD_API_KEY") ? "rpa_TESTKEY" : NULL;
}

int main(void)
{
    static const char *const options[] = {"key=rpa_TESTKEY", NULL};
    static const struct clouds_subject subject = {
        .base = {.name = "runpod", .ops = &weir_runpod_provider, .self_exe = "/proc/self/exe", .getenv = environment},
        .denied = "offers",
        .missing = "read access to the catalogue",
        .dialect = "runpod",
        .options = options,
        .conf = "\"agent\": \"/usr/bin/weir\", \"network_volume\": \"v-1\",",
        .one_page = true,
        .tells_prices = true,
    };
    return clouds_run(&subject);
}
