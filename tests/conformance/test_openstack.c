/* SPDX-License-Identifier: Apache-2.0 */
/* OpenStack's driver under the suite of clouds: with a password from a clouds.yaml and its secure.yaml. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "cloud/openstack/openstack.h"
#include "clouds.h"

static char clouds_file[64] = "/tmp/weir-clouds-XXXXXX";
static char secure_file[64] = "/tmp/weir-secure-XXXXXX";

static const char *environment(const char *name)
{
    return weir_streq(name, "OS_CLIENT_CONFIG_FILE")   ? clouds_file
           : weir_streq(name, "OS_CLIENT_SECURE_FILE") ? secure_file
           : weir_streq(name, "OS_CLOUD")              ? "lab"
                                                       : NULL;
}

static bool write_file(char *path, const char *text)
{
    int fd = mkstemp(path);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0;
}

int main(void)
{
    static const char *const options[] = {"password=correct horse", NULL};
    static const char *const types[] = {"g1.a100.2", "g1.a100.8", "-m1.small", "-g1.gone", NULL};
    static const struct clouds_subject subject = {
        .base = {.name = "openstack", .ops = &weir_openstack_provider, .self_exe = "/proc/self/exe", .getenv = environment, .region = "RegionOne",
                 .type = "g1.a100.2", .gpu = "A100", .gpus = 2},
        .denied = "member",
        .missing = "reader",
        .dialect = "openstack",
        .options = options,
        .conf = "\"agent\": \"/usr/bin/weir\", \"image\": \"70a599e0-31e7-49b7-b260-868f441e862b\", \"region\": \"RegionOne\", "
                "\"flavors\": {\"g1.a100.2\": {\"gpus\": \"A100:2\", \"price\": 2.1}, \"g1.a100.8\": {\"gpus\": \"A100:8\", \"price\": 8}, "
                "\"g1.gone\": {\"gpus\": \"A100:1\", \"price\": 1}},",
        .types = types,
        .keys_expire = true,
        .late_refusal = true,
    };
    bool fine = write_file(clouds_file, "clouds:\n  lab:\n    auth:\n      auth_url: https://keystone.example:5000/v3\n      username: weir\n"
                                        "      project_name: gpu\n      user_domain_name: Default\n      project_domain_id: default\n    interface: public\n") &&
                write_file(secure_file, "clouds:\n  lab:\n    auth:\n      password: correct horse\n");
    int failed = fine ? clouds_run(&subject) : 1;
    (void)unlink(clouds_file);
    (void)unlink(secure_file);
    return failed;
}
