/* SPDX-License-Identifier: Apache-2.0 */
/* DigitalOcean's driver under the suite of clouds: with a token from the file that doctl keeps. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "cloud/digitalocean/digitalocean.h"
#include "clouds.h"

int main(void)
{
    static const char config[] = "access-token: 'dop_v1_testkey'\ncontext: default\noutput: text\n";
    static char path[64] = "/tmp/weir-doctl-XXXXXX";
    static char conf[256];
    static const char *const types[] = {"gpu-h100x1-80gb",   "gpu-h100x8-640gb",    "gpu-h200x1-141gb",   "gpu-l40sx1-48gb", "gpu-6000adax1-48gb",
                                        "gpu-mi300x1-192gb", "-gpu-mi300x8-1536gb", "-gpu-unheardx1-1gb", "-s-1vcpu-1gb",    NULL};
    static const char *const options[] = {"key=dop_v1_testkey", "action_s=0.2", NULL};
    static const struct clouds_subject subject = {
        .base = {.name = "digitalocean", .ops = &weir_digitalocean_provider, .self_exe = "/proc/self/exe", .region = "nyc2",
                 .type = "gpu-h100x1-80gb", .gpu = "H100", .gpus = 1},
        .denied = "actions",
        .missing = "actions:read",
        .dialect = "digitalocean",
        .options = options,
        .conf = conf,
        .types = types,
        .late_refusal = true,
        .tells_prices = true,
    };
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, config, sizeof config - 1) != (ssize_t)sizeof config - 1 || close(fd) != 0) {
        return 1;
    }
    (void)snprintf(conf, sizeof conf,
                   "\"agent\": \"/usr/bin/weir\", \"api_key_file\": \"%s\", \"ssh_keys\": [\"3b:16:e4\"], "
                   "\"vpcs\": {\"nyc2\": \"760e09ef-dc84-11e8-981e-3cfdfeaae000\"},",
                   path);
    int failed = clouds_run(&subject);
    (void)unlink(path);
    return failed;
}
