# Sourced by the scripts below tests/: builds the sandbox, starts it, waits until it is ready, and stops it when the script ends.
# Before: `folder` is where the script keeps its files. After: `$folder/ready.json` has the sandbox's addresses and keys.
cargo build --locked --quiet -p sandbox
rm -f "$folder/ready.json"
"${CARGO_TARGET_DIR:-target}/debug/sandbox" --port 0 --ready-file "$folder/ready.json" > "$folder/sandbox.log" 2>&1 &
sandbox=$!
trap 'kill "$sandbox" 2> /dev/null || true' EXIT
for _ in $(seq 100); do
    [ -s "$folder/ready.json" ] && break
    kill -0 "$sandbox"
    sleep 0.1
done
