/* SPDX-License-Identifier: Apache-2.0 */
/* Vast.ai's driver under the suite of clouds. */

#include "base/str.h"
#include "cloud/vast/vast.h"
#include "clouds.h"

static const char *environment(const char *name)
{
    return weir_streq(name, "VAST_API_KEY") ? "vast_test_TESTKEY" : NULL;
}

int main(void)
{
    static const char *const options[] = {"key=vast_test_TESTKEY", NULL};
    static const struct clouds_subject subject = {
        .base = {.name = "vast", .ops = &weir_vast_provider, .self_exe = "/proc/self/exe", .getenv = environment},
        .dialect = "vast",
        .options = options,
        .conf = "\"agent\": \"/usr/bin/weir\", \"image\": \"registry.example/cuda:12\",",
        .one_page = true,
        .tells_prices = true,
    };
    return clouds_run(&subject);
}
