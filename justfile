# Every command that people and CI run. Plain `just` lists them.

[private]
default:
    @{{just_executable()}} --list --unsorted

# Installs what is missing and runs everything that CI runs
ci:
    .ci/test

# Runs a scenario and leaves a report: just run morning_peak --seed 8
run scenario *args:
    cargo run --release -- run {{scenario}} {{args}}

# Runs a scenario twice and compares every byte
check scenario *args:
    cargo run --release -- check {{scenario}} {{args}}

# Checks every scenario for equal bytes, and seeds 1 to 8 of each for their gates
check-all:
    .ci/scenarios all

# The live gate: real processes and a real database, two minutes
live:
    .ci/live

# Scenarios with real processes at full load: just load rush_20k --ramp-s 30
load scenario="rush_20k" *args:
    cargo build --release -p drover
    cargo run --release -- load {{scenario}} {{args}}

# Many days of chaos, each with faults of its own: just sweep 1..=200
sweep seeds="1..=100" *args:
    cargo run --release -- sweep chaos --seeds {{seeds}} {{args}}

# Plants bugs one at a time and sees whether the oracles find them; writes reports/bite.md
bite *args:
    cargo run --release --features bite -- bite {{args}}

# Format, lints (warnings are errors)
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# All tests of the workspace
test *args:
    . .ci/tools && cargo nextest run --workspace --locked {{args}}

# Foreign peers: PyPI protobuf (a million messages both ways), aioquic and websockets against real processes
peers messages="1000000":
    .ci/peers {{messages}}

# Our routes against Valhalla and OSRM on extracts of OpenStreetMap; installs Python 3.12 if need be
routes *extracts:
    .ci/routes {{extracts}}

# Licences, bans and sources of all dependencies
deny:
    . .ci/tools && cargo deny --locked check licenses bans sources

# Virtual seconds per CPU second, memory, and a table of the cost by part
bench-twin *args:
    cargo bench -p drover-harness --bench twin -- {{args}}

# What a fix costs here, and with Mosquitto or NATS instead, and what their acknowledgements are worth: just bench-peers --faults --readme, after just pgo also --profiled
bench-peers *args:
    .ci/bench-peers {{args}}

# Does a fix cost more than at another commit? Both builds beside each other: just cost origin/main
cost *commit:
    .ci/cost {{commit}}

# How surely `live_cost` tells a build that is slower by 15 % from an unchanged one: just creep 30
creep *runs:
    .ci/creep {{runs}}

# Builds drover by a profile of itself under load, into target/pgo/release: two builds and two runs; installs llvm-tools if need be
pgo:
    .ci/pgo

# A hundred thousand connections at once: memory, handshakes and messages of the gateway against a bare QUIC server
bench-connections *args:
    cargo build --release --locked -p drover
    cargo bench -p drover-load --bench connections -- {{args}}

# The hub against a bare WebSocket loop: CPU time per message and position, memory per socket; just bench-hub --sockets 100000
bench-hub *args:
    cargo build --release --locked -p drover
    cargo bench -p drover-load --bench hub -- {{args}}

# A pipelined bus call against bare quinn streams
bench-bus:
    cargo bench -p drover-bus --bench call

# A packet against a bare recvmmsg/sendmmsg loop, the reading of an id, TCP that is passed on against HAProxy, DNS against gdnsd and Knot
bench-edge:
    cargo bench -p drover-router --bench edge
    .ci/layer4
    .ci/dns bench

# How soon DNS stops naming the dead, how soon health agents agree after a partition, DNS without them: just deaths --times 20
deaths *args:
    .ci/deaths {{args}}

# Odd DNS queries as Knot answers them; every record as dig, kdig and dnspython read it. Installs what is missing
dns-peers:
    .ci/dns

# The whole way into PostgreSQL against bare COPY; with a number, the rate when so many rows are present: just bench-store 50000000
bench-store *rows:
    cargo bench -p drover-tests --bench store -- {{rows}}

# The conformance suite on a server with TimescaleDB: just test-timescale --database postgres://postgres@127.0.0.1:5432
test-timescale *args:
    .ci/timescale {{args}}

# How long a fix waits for its acknowledgement at 20,000 fixes per second, over the bus and into PostgreSQL
bench-ack:
    cargo bench -p drover-tests --bench ack

# Frames of a bus to readings, against dbc-rs and cantools
bench-can:
    DROVER_PEER_PYTHON="${DROVER_PEER_PYTHON:-target/venv/bin/python}" cargo bench -p drover-tracker --bench can

# The whole world at 10,000 and 100,000 vehicles, by system, with one and two threads; motion and receivers alone
bench-world:
    cargo bench -p drover-world --bench world --bench motion

# Preparing roads and finding routes, of grids, cities and extracts
bench-roads *extracts:
    cargo bench -p drover-world --bench roads -- {{extracts}}

# Traffic against SUMO: flow against density, and its plot; installs eclipse-sumo
traffic:
    .ci/traffic

# Vehicle updates per CPU second of the whole world and of SUMO, by turns
bench-sumo:
    .ci/bench-sumo

# The pages: types, tests, the bundle in the tree against a fresh build, every page in Chromium; or some tests: just web lost
web *words:
    .ci/web {{words}}

# Ten thousand moving vehicles on the dispatcher's map: script per frame, frames, heap, first view; just bench-markers 600
bench-markers seconds="60":
    cd system/web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent bench:markers -- {{seconds}}

# Fuzzes one decoder for a while: just fuzz geostream_frames 60, or just fuzz decide 60 router
fuzz target seconds="60" room="wire":
    command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
    cd system/{{room}} && RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none {{target}} -- -max_total_time={{seconds}}
