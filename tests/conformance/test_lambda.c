/* SPDX-License-Identifier: Apache-2.0 */
/* Lambda's driver under the suite of clouds. */

#include "base/str.h"
#include "cloud/lambda/lambda.h"
#include "clouds.h"

static const char *environment(const char *name)
{
    return weir_streq(name, "LAMBDA_API_KEY") ? "secret_test_TESTKEY" : NULL;
}

int main(void)
{
    static const char *const options[] = {"key=secret_test_TESTKEY", NULL};
    static const struct clouds_subject subject = {
        .base = {.name = "lambda", .ops = &weir_lambda_provider, .self_exe = "/proc/self/exe", .getenv = environment},
        .denied = "k",
        .missing = "SSH key 'k'",
        .dialect = "lambda",
        .options = options,
        .conf = "\"agent\": \"/usr/bin/weir\", \"ssh_key\": \"k\", \"file_system\": \"fs\", \"image\": \"lambda-stack-24-04\",",
        .one_page = true,
        .tells_prices = true,
    };
    return clouds_run(&subject);
}
