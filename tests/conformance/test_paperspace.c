/* SPDX-License-Identifier: Apache-2.0 */
/* Paperspace's driver under the suite of clouds: with a key from the file that Paperspace's own client keeps. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "cloud/paperspace/paperspace.h"
#include "clouds.h"

static char home[64] = "/tmp/weir-paperspace-XXXXXX";

static const char *environment(const char *name)
{
    return weir_streq(name, "HOME") ? home : NULL;
}

static bool write_key(const char *dir, const char *path)
{
    FILE *f = mkdir(dir, 0700) == 0 ? fopen(path, "we") : NULL;
    bool fine = f != NULL && fputs("{\"apiKey\": \"ps-testkey\"}\n", f) >= 0;
    return (f == NULL || fclose(f) == 0) && fine;
}

int main(void)
{
    static const char *const options[] = {"key=ps-testkey", NULL};
    static const struct clouds_subject subject = {
        .base = {.name = "paperspace", .ops = &weir_paperspace_provider, .self_exe = "/proc/self/exe", .getenv = environment, .region = "ny2",
                 .type = "A100-80Gx8", .gpu = "A100-80GB", .gpus = 8},
        .denied = "list_scripts",
        .missing = "startup scripts",
        .dialect = "paperspace",
        .options = options,
        .conf = "\"agent\": \"/usr/bin/weir\", \"template\": \"tabc123\", \"templates\": {\"A100-80Gx8\": \"tbig456\"},",
        .tells_stock = true,
        .leaves_nothing = true,
    };
    char dir[96];
    char path[128];
    if (mkdtemp(home) == NULL) {
        return 1;
    }
    (void)snprintf(dir, sizeof dir, "%s/.paperspace", home);
    (void)snprintf(path, sizeof path, "%s/config.json", dir);
    int failed = write_key(dir, path) ? clouds_run(&subject) : 1;
    (void)unlink(path);
    (void)rmdir(dir);
    (void)rmdir(home);
    return failed;
}
