/* SPDX-License-Identifier: Apache-2.0 */
/* EC2's driver under the suite of clouds. */

#include <stddef.h>

#include "base/str.h"
#include "cloud/ec2/ec2.h"
#include "clouds.h"

/* Each time that credentials are looked up, the other key is there: one that has expired is never found again. */
static const char *environment(const char *name)
{
    static unsigned lookups;
    if (weir_streq(name, "AWS_ACCESS_KEY_ID")) {
        return lookups++ % 2 == 0 ? "AKIDMOCK" : "AKIDNEXT";
    }
    return weir_streq(name, "AWS_SECRET_ACCESS_KEY") ? "a-secret-that-is-never-shown" : NULL;
}

int main(void)
{
    static const char *const options[] = {"key=AKIDMOCK", "next_key=AKIDNEXT", NULL};
    static const struct clouds_subject subject = {
        .base = {.name = "ec2", .ops = &weir_ec2_provider, .self_exe = "/proc/self/exe", .getenv = environment, .region = "us-east-1",
                 .type = "g6.xlarge", .gpu = "L4", .gpus = 1},
        .dialect = "ec2",
        .options = options,
        .conf = "\"agent\": \"/usr/bin/weir\", \"image\": \"ami-0123\", \"regions\": [\"us-east-1\"],",
        .keys_expire = true,
        .signs_time = true,
        .keeps_tags = true,
        .tells_spot = true,
    };
    return clouds_run(&subject);
}
