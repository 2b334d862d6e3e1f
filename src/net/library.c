/* SPDX-License-Identifier: Apache-2.0 */
#include "net/library.h"

#include <dlfcn.h>
#include <string.h>

int weir_library_load(const char *const *names, const struct weir_symbol *symbol, size_t n, struct weir_err *err)
{
    void *lib = NULL;
    for (size_t i = 0; lib == NULL && names[i] != NULL; i++) {
        lib = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL);
    }
    if (lib == NULL) {
        return weir_fail(err, -WEIR_EUNSUPPORTED, "the library %s cannot be loaded: install it", names[0]);
    }
    for (size_t i = 0; i < n; i++) {
        void *p = dlsym(lib, symbol[i].name);
        if (p == NULL) {
            return weir_fail(err, -WEIR_EUNSUPPORTED, "the library %s lacks '%s': install a later version", names[0], symbol[i].name);
        }
        /* dlsym gives an object pointer; POSIX promises that it holds a function. */
        memcpy(symbol[i].slot, &p, sizeof p);
    }
    return 0;
}
