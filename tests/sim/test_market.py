#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Suite replay on recorded spot markets: schedules against the checker, the rules of time, which machines a series is of, bad input."""
import gzip
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import check_market  # noqa: E402
import check_schedule  # noqa: E402
from schedule_file import spans_of  # noqa: E402
from suites import data, lib, output_of, sim  # noqa: E402
from test_replay import check_row, error_of, figures, made_up_jobs  # noqa: E402

PRICES = "aws-spot-prices-2020/aws_spot_p2_p3_2019-12_2020-03.csv"
TRACES = "spot-availability/cbl_2022-10-26.csv"
WINDOWS = "spot-availability/multizone_2023-02.csv"
VMS = ("InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
       "p3.2xlarge,V100,1,8,61,3.06,,us-east-1\np3.8xlarge,V100,4,32,244,12.24,,us-east-1\np3.16xlarge,V100,8,64,488,24.48,,us-east-1\n"
       "p3.2xlarge,V100,1,8,61,3.06,,us-west-2\np3.16xlarge,V100,8,64,488,24.48,,us-west-2\n")
KINDS = check_market.kinds_of("p3.2xlarge=1,p3.8xlarge=4,p3.16xlarge=8")


def setting(folder, jobs=600, seed=4):
    folder = pathlib.Path(folder)
    made_up_jobs(folder / "jobs.csv", jobs, seed)
    (folder / "vms.csv").write_text(VMS, encoding="utf-8")
    return ["--jobs", folder / "jobs.csv", "--nodes", "1", "--catalogue", f"aws={folder / 'vms.csv'}", "--policies", "weir,cloud-only"]


def test_recorded_prices_and_availability_hold(weir):
    prices = data(PRICES) / PRICES
    cases = [(["--prices", prices], "delay_value=1", {}),
             (["--prices", prices], "delay_value=1,market_align=1,market_shift_hours=300", {"shift": 300, "align": True}),
             (["--prices", prices], "delay_value=1,market_repeat=0", {"hold": True}),
             (["--traces", data(TRACES) / TRACES], "delay_value=1,spot_price=0.32,checkpoint_s=600", {}),
             (["--traces", data(TRACES) / TRACES], "delay_value=1,spot_price=0.32,market_align=1,spot_notice_s=0", {"align": True}),
             (["--traces", data(WINDOWS) / WINDOWS], "delay_value=1,spot_price=0.32,checkpoint_s=300,market_shift_hours=-17", {"shift": -17}),
             (["--traces", data(WINDOWS) / WINDOWS, "--prices", prices], "delay_value=1,checkpoint_s=300", {})]
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        args = setting(folder)
        begin = check_schedule.read_jobs(str(args[1]))[0][0]
        for number, (market, params, how) in enumerate(cases):
            out = pathlib.Path(folder) / f"out-{number}"
            rows = sim(weir, "replay", *args, *market, "--set", params, "--schedule", out)["rows"]
            how = how.get("shift", 0), begin if how.get("align") else None, how.get("hold", False)
            given = dict(zip((name[2:] for name in market[::2]), map(str, market[1::2])))
            for row in rows:
                check_row(row, 600)
                assert row["failed"] == 0, figures(row)
                file = str(out / f"replay-{row['policy']}-1.csv")
                sums = check_market.check(file, KINDS, check_market.read_prices(given["prices"], *how) if "prices" in given else None,
                                          check_market.read_traces(given["traces"], *how) if "traces" in given else None)
                # whoever is in a hurry does not risk to be taken back
                assert row["policy"] == "cloud-only" or sums["spot_machines"] > 10, (params, sums)
                check_schedule.check(file, node_gpus=8)


def test_the_same_seed_gives_the_same_bytes(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        args = setting(folder, 200) + ["--traces", data(TRACES) / TRACES, "--set", "spot_price=0.3,boot_spread=1.5", "--seed", "5"]
        text = output_of(weir, "replay", *args)
        assert text == output_of(weir, "replay", *args)
        packed = pathlib.Path(folder) / "traces.csv.gz"
        packed.write_bytes(gzip.compress((data(TRACES) / TRACES).read_bytes()))
        args[args.index("--traces") + 1] = packed
        assert text == output_of(weir, "replay", *args).replace(str(packed), str(data(TRACES) / TRACES))  # what was assumed names the file


def one_machine(folder, begin, bits, *extra):
    """A task of an hour on one GPU from begin on, with spot of a tenth of the price by the given ticks of ten minutes from 1970-02-01 on."""
    folder = pathlib.Path(folder)
    jobs, traces = folder / "one.csv", folder / "traces.csv"
    jobs.write_text(f"submit_unix,duration_s,gpus\n{begin},3600,1\n", encoding="utf-8")
    traces.write_text(f"env,gap_s,tick0_utc,first_tick,bits\nz-1a_v100_1,600,1970-02-01T00:00:00Z,0,{bits}\n", encoding="utf-8")
    return ["--jobs", jobs, "--nodes", "0", "--cloud-price", "10", "--traces", traces, "--policies", "cloud-only",
            "--set", ",".join(("spot_price=0.1,boot_s=0,spot_notice_s=0,checkpoint_s=1,spot_reclaims_per_hour=0", *extra))]


def test_what_holds_outside_of_a_record(weir):
    begin = 31 * 86400
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        for at, bits, extra, cost in (
                (begin, "1" * 12, [], 1),                                  # in the record: an hour on spot
                (begin + 3600, "1" * 6 + "0" * 6, [], 10),                 # none left: on demand
                (begin + 7200, "1" * 6 + "0" * 6, [], 1),                  # it begins again
                (begin - 7200, "1" * 6 + "0" * 6, [], 1),                  # and did before
                (begin - 3600, "1" * 6 + "0" * 6, [], 10),
                (begin + 7200, "1" * 6 + "0" * 6, ["market_repeat=0"], 10),  # the last value holds
                (begin - 3600, "1" * 6 + "0" * 6, ["market_repeat=0"], 1),   # and the first
                (begin + 3600, "1" * 6 + "0" * 6, ["market_align=1"], 1),
                (begin, "1" * 6 + "0" * 6, ["market_shift_hours=1"], 10)):
            row = sim(weir, "replay", *one_machine(folder, at, bits, *extra))["rows"][0]
            assert abs(row["cost"] - cost) < 0.01, (at - begin, bits, extra, figures(row))


def test_half_an_hour_on_spot_then_on_demand(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        row = sim(weir, "replay", *one_machine(folder, 31 * 86400, "111" + "0" * 9))["rows"][0]
        assert row["reclaims"] == 1 and abs(row["cost"] - 5.5) < 0.02, figures(row)


def reserved_file(folder, *lines):
    path = pathlib.Path(folder) / "reserved.csv"
    path.write_text("\n".join(("provider,instance_type,count,price,term_hours", *lines)) + "\n", encoding="utf-8")
    return path


def test_reserved_machines_are_used_first_and_paid_for_anyway(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        made_up_jobs(jobs, 800, 8)
        out = pathlib.Path(folder) / "out"
        args = ["--jobs", jobs, "--nodes", "1", "--cloud-price", "2.5", "--reserved", reserved_file(folder, "cloud,gpus-8,3,12,24"), "--policies", "weir"]
        row = sim(weir, "replay", *args, "--schedule", out)["rows"][0]
        check_row(row, 800)
        check_schedule.check(str(out / "replay-weir-1.csv"), node_gpus=8, jobs=check_schedule.read_jobs(str(jobs)))
        spans = [span for span in spans_of(str(out / "replay-weir-1.csv")) if span["place"] == "cloud//gpus-8/reserved"]
        moves = sorted(move for node in {span["node"] for span in spans} for move in (
            (min(span["start"] for span in spans if span["node"] == node), 1), (max(span["end"] for span in spans if span["node"] == node), -1)))
        held = most = 0
        for _, more in moves:
            held += more
            most = max(most, held)
        assert most == 3, most
        # a span costs its share of the machine at the reserved price
        assert all(abs(span["cost"] - 1.5 * span["gpus"] * (span["end"] - span["start"]) / 3600) < 1e-5 for span in spans)
        days = -(-(max(span["end"] for span in spans) - min(span["submit"] for span in spans)) // 86400)
        assert row["cloud_cost"] >= 3 * 12 * 24 * days > row["reserved_idle_cost"] > 0, figures(row)


def test_how_much_to_reserve(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        # two machines are busy for a day, a third for an hour
        jobs.write_text("submit_unix,duration_s,gpus\n1500000000,86000,8\n1500000000,86000,8\n1500000000,3600,8\n", encoding="utf-8")
        args = ["--jobs", jobs, "--nodes", "0", "--cloud-price", "1", "--reserved", reserved_file(folder, "cloud,gpus-8,9,4,"), "--policies", "cloud-only"]
        cost = {row["case"]["reserved_count"]: row["cost"] for row in sim(weir, "replay", *args, "--sweep", "reserved_count=0,1,2,3,4")["rows"]}
        assert min(cost, key=cost.get) == 2, cost
        assert 95 < cost[4] - cost[3] < 97, cost  # one that is never used costs 4 an hour for a day
        assert 8 < cost[4] - cost[3] - (cost[3] - cost[2]) < 9, cost  # the third saves an hour on demand
        assert all("pareto" in row for row in sim(weir, "replay", *args, "--sweep", "reserved_count=0,2")["rows"])


def test_what_is_wrong_with_reserved_machines_is_named(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        args = setting(folder, 10)
        for line, words in (("gcp,p3.2xlarge,1,1,", "reserved.csv:2: column 'provider': there is no cloud 'gcp'"), ("aws,p9,1,1,", "aws lists no machine 'p9'"),
                            ("aws,p3.2xlarge,x,1,", "reserved.csv:2: column 'count'"), ("aws,p3.2xlarge,1,0,", "column 'price': a price per hour"),
                            ("aws,p3.2xlarge,1,1,-3", "column 'term_hours'"), ("aws,p3.2xlarge,1,1,\naws,p3.2xlarge,2,2,", "stand there twice")):
            told = error_of(weir, *args, "--reserved", reserved_file(folder, line))
            assert words in told, (line, told)
        assert "standard input" in error_of(weir, *args, "--reserved", "-")
        assert "--reserved means nothing" in error_of(weir, "--suite", "starburst", "--reserved", "x")


def test_what_is_wrong_is_named(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        args = setting(folder, 10)
        file = pathlib.Path(folder) / "bad.csv"
        file.write_text("zone,instance,utc,spot_usd_h\nus-east-1a,p9,2020-01-01T00:00:00Z,1\n", encoding="utf-8")
        assert "no cloud has a machine of any of these types" in error_of(weir, *args, "--prices", file)
        assert "there is no cloud 'gcp'" in error_of(weir, *args, "--prices", f"gcp={file}")
        assert "a file is needed" in error_of(weir, *args, "--prices", "-")
        assert "there is no cloud whose machines" in error_of(weir, *args[:4], "--prices", file)
        file.write_text("zone,instance,utc,spot_usd_h\nus-east-1a,p3.2xlarge,2020-01-01T00:00:00Z,-1\n", encoding="utf-8")
        assert "bad.csv:2: column 'spot_usd_h'" in error_of(weir, *args, "--prices", file)
        file.write_text("env,gap_s,tick0_utc,first_tick,bits\nus-east-1a_v100_1,600,yesterday,0,1\n", encoding="utf-8")
        assert "bad.csv:2: column 'tick0_utc'" in error_of(weir, *args, "--traces", file)
        file.write_text("env,gap_s,tick0_utc,first_tick,bits\nus-east-1a_v100_1,600,,0,1\n", encoding="utf-8")
        assert "--set spot_price=0.3" in error_of(weir, *args, "--traces", file)
        file.write_text("env,gap_s,tick0_utc,first_tick,bits\nus-east-1a_v100_1,86400,,1000000000,1\n", encoding="utf-8")
        assert "more than a century" in error_of(weir, *args, "--traces", file)
        file.write_text("env,gap_s,first_tick,bits\nus-east-1a_v100_1,600,0,12\n", encoding="utf-8")
        assert "bad.csv:2: column 'bits': character 2" in error_of(weir, *args, "--traces", file)


if __name__ == "__main__":
    sys.exit(lib.main(globals(), at_once=1))
