#!/usr/bin/env bash
# Packs the tarball from the files that git knows, installs it elsewhere with install scripts disabled, and uses it: the
# command, the API, its types, what publint and are-the-types-wrong say of it; then without the prebuilt binary, and after building it there as the message advises.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}

fail() {
  echo "package: $1" >&2
  exit 1
}

# Prebuildify empties build/, so it gets a tree of its own.
mkdir "$work/source" "$work/user"
git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2> /dev/null | tar -c -T - | tar -x -C "$work/source"
ln -s "$root/node_modules" "$work/source/node_modules"

# What is built here is for its contents: without optimization. The prebuilt binary is the addon of a machine without CUDA
# and OpenBLAS; all else is built where the package is installed, with CUDA kernels as PTX alone.
cat > "$work/quick.cmake" << 'END'
set(CMAKE_CXX_FLAGS_RELEASE "-O0 -DNDEBUG" CACHE STRING "")
set(BRANCHMERGE_KERNEL_OPTIMIZATION -O0)
set(BRANCHMERGE_CUDA_CODE -gencode=arch=compute_80,code=compute_80)
END
cat > "$work/prebuilt.cmake" << 'END'
include(${CMAKE_CURRENT_LIST_DIR}/quick.cmake)
set(BRANCHMERGE_CUDA OFF)
set(BRANCHMERGE_OPENBLAS OFF)
END

tarball=$(cd "$work/source" &&
  CMAKE_TOOLCHAIN_FILE="$work/prebuilt.cmake" npm pack --silent --pack-destination "$work" | tail -n 1)
tar -tzf "$work/$tarball" > "$work/contents"
for file in LICENSE README.md CHANGELOG.md CMakeLists.txt binding.gyp bin/branchmerge.js dist/index.js dist/index.d.ts \
  languages/profiles.json.br languages/LICENSE recipes/recipe.schema.json recipes/tinyr1-32b.yaml \
  native/addon/addon.cc "prebuilds/linux-$(node -p process.arch)/branchmerge.node" \
  "prebuilds/linux-$(node -p process.arch)/branchmerge-sandbox"; do
  grep -qx "package/$file" "$work/contents" || fail "$tarball lacks $file"
done
if grep -E '^package/(test|bench|build|node_modules|examples|lib)/' "$work/contents"; then fail "$tarball holds the files above"; fi

cd "$work/user"
npm init -y --silent > /dev/null
npm pkg set type=module
npm install --silent --ignore-scripts --no-audit --no-fund "$work/$tarball"
node "$root/bench/makePair.js" tiny "$work/pair"

use_package() {
  npx branchmerge doctor
  rm -rf "$work/fused"
  npx branchmerge fuse "$work/pair/left" "$work/pair/right" --out "$work/fused" --json > "$work/summary.json"
  node --input-type=module -e '
    import assert from "node:assert/strict"
    import { readFileSync } from "node:fs"
    const [pair, summary, fused] = process.argv.slice(1)
    const { tensors, parameters, kept, keptFraction } = JSON.parse(readFileSync(summary, "utf8"))
    assert.deepEqual({ tensors, parameters }, { tensors: 26, parameters: 678976 })
    assert.ok(kept > 0 && kept < parameters && Math.abs(keptFraction - kept / parameters) < 1e-9)
    const [left, merged] = [`${pair}/left`, fused].map((side) => JSON.parse(readFileSync(`${side}/config.json`, "utf8")))
    assert.equal(merged.model_type, left.model_type)
  ' "$work/pair" "$work/summary.json" "$work/fused"
}

echo '== prebuilt binary'
use_package

echo '== prebuilt sandbox'
sandbox=$(cd node_modules/branchmerge && echo "$PWD/prebuilds/linux-$(node -p process.arch)/branchmerge-sandbox")
"$sandbox" --help > /dev/null || fail 'the sandbox in the tarball does not run'

echo '== publint and are-the-types-wrong'
npx --yes publint@0.3.25 "$work/$tarball" --strict
npx --yes @arethetypeswrong/cli@0.18.5 "$work/$tarball" --profile esm-only --format ascii

echo '== API and types'
cat > consumer.ts << 'END'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { BranchMergeError, type Conversion, convert, fuse, type HeatMapRecord, type MergePlanRecord, plan, report } from 'branchmerge'

const tensor = (values: number[]) => ({ dtype: 'F32', shape: [values.length], data: Float32Array.from(values) }) as const
const { tensor: fused, stats } = await fuse(tensor([1, 2, 3, 4]), tensor([1, 2, 3, 9]), { preset: 'arcee' })
const values = new Float32Array(fused.data.buffer, fused.data.byteOffset, 4)
if (values[3] !== 9 || stats.elements !== 4) throw new Error(`Expected 9 in ${values}`)

const refusal: unknown = await fuse(tensor([1]), tensor([1, 2])).catch((error: unknown) => error)
if (!(refusal instanceof BranchMergeError) || refusal.code !== 'ERR_SHAPE_MISMATCH') throw new Error(`Unexpected ${refusal}`)

export const typed: [
  (recipe: string) => Promise<MergePlanRecord>,
  (file: string) => Promise<Conversion>,
  (directory: string) => Promise<HeatMapRecord>,
] = [plan.merge, convert, report]

const schema = readFileSync(fileURLToPath(import.meta.resolve('branchmerge/recipes/recipe.schema.json')), 'utf8')
if (JSON.parse(schema).title !== 'branchmerge recipe') throw new Error('Expected the schema of recipes')
END
ln -s "$root/node_modules/@types" node_modules/@types
"$root/node_modules/.bin/tsc" --strict --module nodenext --target es2023 --types node consumer.ts
node consumer.js

echo '== no binary'
rm -r node_modules/branchmerge/prebuilds
if npx branchmerge doctor > "$work/message" 2>&1; then fail 'expected doctor to fail without a binary'; fi
grep -q 'npx cmake-js build' "$work/message" || fail "expected advice but received: $(cat "$work/message")"

echo '== built where it is installed'
(cd node_modules/branchmerge && CMAKE_TOOLCHAIN_FILE="$work/quick.cmake" npx cmake-js build > "$work/build.log" 2>&1) || fail "$(cat "$work/build.log")"
use_package
echo 'The package works'
