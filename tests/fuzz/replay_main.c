/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over every file of the folders given: the corpus and the inputs that once
 * failed. TAP on stdout; a failing input ends the program, with its name as the last line. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 20000, BYTES_MAX = 4 << 20 };

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A buffer of exactly the file's size, so that reading past its end is seen. */
static int replay(const char *path, size_t number)
{
    FILE *f = fopen(path, "rb");
    static uint8_t buf[BYTES_MAX];
    if (f == NULL) {
        (void)printf("not ok %zu - %s cannot be read\n", number, path);
        return 1;
    }
    size_t n = fread(buf, 1, sizeof buf, f);
    (void)fclose(f);
    uint8_t *exact = malloc(n == 0 ? 1 : n);
    if (exact == NULL) {
        (void)printf("not ok %zu - %s: no memory\n", number, path);
        return 1;
    }
    memcpy(exact, buf, n);
    (void)printf("# %s\n", path);
    (void)fflush(stdout);
    (void)LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    (void)printf("ok %zu - %s\n", number,
                 strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1);
    return 0;
}

int main(int argc, char **argv)
{
    static char *paths[FILES_MAX];
    size_t n = 0;
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (d == NULL) {
            (void)fprintf(stderr, "cannot open folder %s\n", argv[i]);
            return 2;
        }
        for (struct dirent *e = readdir(d); e != NULL && n < FILES_MAX; e = readdir(d)) {
            if (e->d_name[0] != '.' && asprintf(&paths[n], "%s/%s", argv[i], e->d_name) > 0) {
                n++;
            }
        }
        (void)closedir(d);
    }
    qsort(paths, n, sizeof *paths, by_name);
    (void)printf("1..%zu\n", n);
    for (size_t i = 0; i < n; i++) {
        failed += replay(paths[i], i + 1);
        free(paths[i]);
    }
    return failed == 0 && n > 0 ? 0 : 1;
}
