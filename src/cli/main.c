/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

int main(int argc, char **argv)
{
    return weir_cli_main(argc, argv);
}
