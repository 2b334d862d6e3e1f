/* SPDX-License-Identifier: Apache-2.0 */
/* Google's driver under the suite of clouds: with a service account's key that the mock made. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "cloud/gce/gce.h"
#include "clouds.h"

static char key_file[64] = "/tmp/weir-gcp-key-XXXXXX";

static const char *environment(const char *name)
{
    return weir_streq(name, "GOOGLE_APPLICATION_CREDENTIALS") ? key_file : NULL;
}

int main(void)
{
    static char option[128];
    static const char *const options[] = {option, "operation_s=0.2", NULL};
    static const char *const endpoints[] = {"prices_endpoint", NULL};
    static const char *const part_of_quota[] = {"families", "list", NULL};
    static const struct clouds_subject subject = {
        .base = {.name = "gcp", .ops = &weir_gce_provider, .self_exe = "/proc/self/exe", .getenv = environment, .region = "us-central1",
                 .type = "g2-standard-48", .gpu = "L4", .gpus = 4},
        .dialect = "gce",
        .options = options,
        .conf = "\"agent\": \"/usr/bin/weir\", \"image\": \"projects/debian-cloud/global/images/family/debian-12\",",
        .keys_expire = true,
        .late_refusal = true,
        .signs_time = true,
        .tells_spot = true,
        .endpoints = endpoints,
        .part_of_quota = part_of_quota,
    };
    int fd = mkstemp(key_file); /* so that nobody else may read what the mock writes there */
    if (fd < 0) {
        return 1;
    }
    (void)close(fd);
    (void)snprintf(option, sizeof option, "service_account=%s", key_file);
    int failed = clouds_run(&subject);
    (void)unlink(key_file);
    return failed;
}
