# SPDX-License-Identifier: Apache-2.0
"""The public FOCUS validator in an environment of its own in the build folder, kept between runs."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import lib

NEEDS = (3, 11)  # of Python
# The package asks for 3.12 for the sake of this one line of it; by what stands behind it, it runs with 3.11, that of Debian 12.
TOO_NEW = ('f"\'{k.replace(\'\\"\', \'\\"\\"\')}\'"', '"\'" + k.replace(chr(34), 2 * chr(34)) + "\'"')
# What weir's export has, so that the rules for it apply. Those of USAGE_MEASUREMENT_SUPPORTED and PUBLIC_PRICE_LIST_SUPPORTED are not
# asked for: in this version of the validator the first has a condition turned round, and the second wants columns for
# virtual currencies.
CRITERIA = ("ACCOUNT_NAMING_SUPPORTED,MULTIPLE_PRICING_CATEGORIES_SUPPORTED,MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED,"
            "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED,NEGOTIATED_PRICING_SUPPORTED,UNIT_PRICING_SUPPORTED,SUB_ACCOUNT_SUPPORTED,"
            "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED,RESOURCE_TYPE_ASSIGNMENT_SUPPORTED,REGION_SUPPORTED,TAGGING_SUPPORTED")
# InvoiceId must be null (004) and must not be (005): the validator has both without the conditions that the specification gives them,
# so that every file fails one of them.
CONTRADICTED = {"InvoiceId-C-004-C"}


def pythons():
    """Python programs of this host that may be new enough."""
    yield sys.executable
    for minor in range(20, NEEDS[1] - 1, -1):
        path = shutil.which(f"python3.{minor}")
        if path:
            yield path
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
        yield from map(str, sorted(pathlib.Path(root).glob("versions/3.*/bin/python3"), reverse=True))


def is_new_enough(python):
    code = f"import sys, venv; sys.exit(sys.version_info < {NEEDS})"
    return subprocess.run([python, "-c", code], capture_output=True, timeout=30, check=False).returncode == 0


def validator(folder):
    """The program; lib.Skip where it cannot be installed."""
    folder = pathlib.Path(folder)
    program = folder / "bin" / "focus-validator"
    python = next(filter(is_new_enough, pythons()), None)
    if python is None:
        raise lib.Skip(f"the FOCUS validator needs Python {NEEDS[0]}.{NEEDS[1]} or newer")
    inside, why = lib.make_venv(folder, "focus", python, ["--ignore-requires-python"])
    if inside is None:
        raise lib.Skip(f"the FOCUS validator cannot be installed: {why}")
    converter = next((folder / "lib").glob("python3.*")) / "site-packages/focus_validator/config_objects/focus_to_duckdb_converter.py"
    with lib.only_one(folder):
        text = converter.read_text(encoding="utf-8")
        if TOO_NEW[0] in text:
            converter.write_text(text.replace(*TOO_NEW), encoding="utf-8")
    return program


def failures(program, export):
    """What the validator has against a file, by its rules for version 1.2; an empty list where it accepts it."""
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    packages = next((program.parent.parent / "lib").glob("python3.*")) / "site-packages"  # it opens a table of currencies from there
    result = subprocess.run([program, "--data-file", export, "--validate-version", "1.2", "--block-download", "--show-violations",
                             "--applicability-criteria", CRITERIA, "--output-type", "console"],
                            capture_output=True, text=True, timeout=1200, env=env, cwd=packages, check=False)
    said = result.stdout + result.stderr
    sums = re.search(r"Pass: (\d+) \| Fail: (\d+)", said)  # it exits with 0 all the same
    failed = set(re.findall(r"(\S+): FAIL", said))
    if sums and int(sums[1]) > 100 and int(sums[2]) == len(failed) and failed <= CONTRADICTED:
        return []
    return [line for line in said.splitlines() if "PASS" not in line and "SKIPPED" not in line] or [f"ended with {result.returncode}"]


# What 1.3 adds to 1.2, by its Cost and Usage data set; the validator's rules end with 1.2. ProviderName and PublisherName are deprecated there, and
# still mandatory.
ADDED = {"AllocatedMethodId", "AllocatedResourceId", "AllocatedResourceName", "AllocatedTags", "HostProviderName", "ServiceProviderName"}
SUMMABLE = {"BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingCurrencyEffectiveCost"}


def differs_from_1_3(rows):
    """What is against the rules of 1.3 for the columns that it added; an empty list where nothing is."""
    found = [f"no column {c}" for c in sorted((ADDED | {"ProviderName", "PublisherName"}) - set(rows[0]))]
    names = [c for c in rows[0] if not c.startswith("x_")]
    found += [] if names == sorted(names) else [f"columns are not in order: {names}"]
    alike = {}
    for r in rows:
        found += [f"{c} is null: {r}" for c in ("HostProviderName", "ServiceProviderName", "ProviderName", "PublisherName") if not r[c]]
        is_allocated = r["AllocatedMethodId"] != ""
        if bool(r["AllocatedResourceId"]) != is_allocated or bool(r["AllocatedResourceName"]) != is_allocated or (r["AllocatedTags"] and not is_allocated):
            found.append(f"allocated in part: {r}")
        if is_allocated:  # of one charge: all that is no sum, no allocation and no column of ours is the same
            same = {c: v for c, v in r.items() if c not in ADDED | SUMMABLE and not c.startswith("x_")}
            key = (r["ChargePeriodStart"], r["InvoiceId"], r["ChargeDescription"], r["x_RuleId"])
            if alike.setdefault(key, same) != same:
                found.append(f"{same} is not {alike[key]}")
    return found
