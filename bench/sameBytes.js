#!/usr/bin/env node
/**
 * Makes merges of every kind from generated models, and prints the SHA-256 of every file that they write, and what they tell. Two
 * builds that print the same make the same bytes.
 *
 *   node bench/sameBytes.js > before.txt      (then change something and build)
 *   node bench/sameBytes.js | diff before.txt -
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { batch, finishMerge, fuse, merge, mergePart, plan, reproduce } from '../dist/index.js'
import { converted, drawBase, trained, vocabulary, withRows, writeModel } from './same/models.js'

/** @typedef {import('../dist/index.js').MergeOptions} MergeOptions */

const root = mkdtempSync(join(tmpdir(), 'branchmerge-same-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
const at = (/** @type {string[]} */ ...names) => join(root, ...names)

function writeModels() {
  const base = drawBase('BF16')
  const [a, b, c] = [trained(base, 2), trained(base, 3), trained(base, 4)]
  writeModel(at('base'), base, { shards: 4 })
  writeModel(at('a'), a, { shards: 3 })
  writeModel(at('b'), b, { shards: 5 })
  writeModel(at('c'), c)
  for (const dtype of /** @type {const} */ (['F16', 'F32', 'F64'])) {
    const shards = { F16: 3, F32: 4, F64: 5 }[dtype]
    writeModel(at(`base-${dtype}`), converted(base, dtype), { shards })
    writeModel(at(`a-${dtype}`), converted(a, dtype), { shards })
    writeModel(at(`b-${dtype}`), converted(b, dtype), { shards: 3 })
  }
  writeModel(at('wide'), withRows(b, vocabulary + 12), { shards: 3, config: { vocab_size: vocabulary + 12 } })
  const head = /** @type {import('./same/models.js').TensorData} */ (a['model.embed_tokens.weight'])
  writeModel(at('tied'), { ...a, 'lm_head.weight': head }, { shards: 3 })
  writeModel(
    at('headed'),
    { ...b, ...trained({ 'lm_head.weight': head }, 9) },
    { config: { tie_word_embeddings: false } },
  )
  const prefixed = Object.entries(b).map(([name, tensor]) => [`language_model.${name}`, tensor])
  writeModel(at('prefixed'), Object.fromEntries(prefixed), { shards: 3 })
  const positions = {
    dtype: 'I64',
    shape: [1, 8],
    data: new Uint8Array(BigInt64Array.from([0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n]).buffer),
  }
  writeModel(at('a-positions'), { ...a, positions }, { shards: 3 })
  writeModel(at('b-positions'), { ...b, positions }, { shards: 3 })
  writeModel(at('other'), c, { config: { architectures: ['LlamaForCausalLM'] } })
}

/** @type {Record<string, () => unknown>} */
const merges = {}
const models = (/** @type {string[]} */ ...names) =>
  Object.fromEntries(names.map((name) => [name.split('-')[0], at(name)]))
/** Those that an expression names. */
const used = (/** @type {string} */ text) =>
  models(...['base', 'a', 'b', 'c'].filter((name) => new RegExp(`(^|\\W)${name}(\\W|$)(?!=)`).test(text)))
const modelArguments = (/** @type {string} */ text) =>
  Object.entries(used(text)).flatMap(([name, path]) => ['--model', `${name}=${path}`])

/** @param {string} name @param {string} expression @param {Partial<MergeOptions>} [options] */
function expression(name, expression, options = {}) {
  merges[name] = () => merge(expression, { models: used(expression), ...options, out: at('out') })
}

const methods = {
  linear: 'linear(a, b, c; weight=[0.5, 0.3, 0.2])',
  slerp: 'slerp(a, b; t=gradient(0, 0.5, 1))',
  task_arithmetic: 'task_arithmetic(base, a, b; weight=[0.7, 0.6], lambda=0.9)',
  ties: 'ties(base, a, b, c; density=0.5, weight=[0.5, 0.3, 0.4])',
  dare_linear: 'dare_linear(base, a, b; density=0.4, seed=7)',
  dare_ties: 'dare_ties(base, a, b; density=0.6, seed=8)',
  della: 'della(base, a, b; density=0.5, epsilon=0.2)',
  della_linear: 'della_linear(base, a, b; density=0.5, epsilon=0.1, seed=3)',
  breadcrumbs: 'breadcrumbs(base, a, b; density=0.8, gamma=0.05)',
  breadcrumbs_ties: 'breadcrumbs_ties(base, a, b; density=0.8, gamma=0.05)',
  model_stock: 'model_stock(base, a, b, c; filterWise=true)',
  sce: 'sce(base, a, b; selectTopk=0.3)',
  nearswap: 'nearswap(a, b; t=0.001)',
  nuslerp: 'nuslerp(a, b; base=base, weight=[0.3, 0.7])',
  multislerp: 'multislerp(a, b, c; weight=[1, 2, 3])',
  karcher: 'karcher(a, b, c)',
  ram: 'ram(base, a, b)',
  passthrough: 'passthrough(a; scale=0.5)',
}
for (const [name, text] of Object.entries(methods)) expression(name, text)
expression('fuse', 'a & b')
expression('fuse, preset paper', 'a & b', { preset: 'paper' })
expression('fuse, preset paper-soft', 'a & b', { preset: 'paper-soft', lambda: 0.1 })
expression('sequence', '(a & b) & c', { maxShardSize: '100KB', sha256: true })
expression('sequence of methods', 'ties(base, slerp(a, b; t=0.5), c & a; density=0.5)', { dtype: 'F32' })
expression('shards of 50 KB', 'linear(a, b)', { maxShardSize: '50KB', memory: '1MB', threads: 1 })
for (const dtype of ['F16', 'F32', 'F64']) {
  const of = () => models(`base-${dtype}`, `a-${dtype}`, `b-${dtype}`)
  merges[`fuse ${dtype}`] = () => fuse(at(`a-${dtype}`), at(`b-${dtype}`), { out: at('out') })
  merges[`ties ${dtype}`] = () => merge('ties(base, a, b; density=0.5)', { models: of(), out: at('out') })
}
merges['fuse with choices'] = () =>
  fuse(at('a'), at('b'), {
    ...{ out: at('out'), scope: 'tensor', divergence: 'left||right', score: 'signed', gate: 'gt', lambda: 1.1 },
    ...{ epsilon: 1e-6, quantile: 'linear', population: 'changed', dtype: 'float16', maxShardSize: '200KB' },
  })
merges['fuse of unlike dtypes'] = () =>
  fuse(at('a-F32'), at('b'), { out: at('out'), modelDtypes: { right: 'F32' }, dtype: 'bfloat16' })
merges['fuse of single files'] = () => fuse(at('c', 'model.safetensors'), at('b'), { out: at('out') })
for (const embeddings of /** @type {const} */ (['common', 'left', 'right'])) {
  merges[`embeddings ${embeddings}`] = () => fuse(at('wide'), at('a'), { out: at('out'), embeddings })
}
merges['names prefixes'] = () => fuse(at('a'), at('prefixed'), { out: at('out'), names: 'prefixes' })
merges['heads embedding'] = () => fuse(at('headed'), at('a'), { out: at('out'), heads: 'embedding' })
merges['a tied head that is stored'] = () => fuse(at('tied'), at('b'), { out: at('out') })
merges['integers'] = () => fuse(at('a-positions'), at('b-positions'), { out: at('out') })
merges['architectures any'] = () => fuse(at('a'), at('other'), { out: at('out'), architectures: 'any' })

/** @type {import('../dist/index.js').Recipe} */
const recipe = {
  steps: [
    { name: 'mid', method: 'fuse', inputs: ['a', 'b'] },
    { name: 'end', method: 'ties', base: 'base', inputs: ['mid', 'c'], options: { density: 0.4 } },
  ],
  options: { preset: 'paper' },
  rules: [
    { match: '*.mlp.*', step: 'end', options: { density: 0.8, weight: [null, 0.5] } },
    { layers: /** @type {[number, number]} */ ([0, 2]), options: { preset: 'arcee' } },
  ],
  output: { dtype: 'BF16', tokenizer: 'b' },
  intermediate: /** @type {const} */ ('float32'),
}
merges['recipe with rules'] = () =>
  merge(
    { models: { base: {}, a: {}, b: {}, c: {} }, ...recipe },
    { models: models('base', 'a', 'b', 'c'), out: at('out') },
  )
merges['mergekit'] = () => {
  const of = (/** @type {string} */ name) =>
    `  - model: ${at(name)}\n    parameters: {density: [0.3, 0.7], weight: 0.5}\n`
  const text = `models:\n${of('a')}${of('b')}merge_method: ties\nbase_model: ${at('base')}\ndtype: float32\nout_dtype: bfloat16\n`
  writeFileSync(at('mergekit.yml'), text)
  return merge(at('mergekit.yml'), { out: at('out') })
}
merges['mergekit, slices'] = () => {
  const sources = ['a', 'b'].map((name) => `      - {model: ${at(name)}, layer_range: [0, 3]}\n`).join('')
  const t = 't: [{filter: self_attn, value: [0, 1]}, {value: 0.5}]'
  const text = `slices:\n  - sources:\n${sources}merge_method: slerp\nbase_model: ${at('a')}\nparameters: {${t}}\ndtype: bfloat16\n`
  writeFileSync(at('slices.yml'), text)
  return merge(at('slices.yml'), { out: at('out') })
}
merges['batch'] = () => {
  const files = ['a & b', 'b & a', 'ties(base, a, b; density=0.5)', 'linear(a, c)'].map((expression, i) => {
    const used = { base: {}, a: {}, b: {}, c: {} }
    const needed = Object.fromEntries(
      Object.entries(used).filter(([name]) => new RegExp(`\\b${name}\\b`).test(expression)),
    )
    writeFileSync(at(`recipe${i}.json`), JSON.stringify({ models: needed, expression }))
    return at(`recipe${i}.json`)
  })
  return batch([...files, at('absent.yaml')], { models: models('base', 'a', 'b', 'c'), out: at('out') })
}
merges['batch again'] = async () => {
  await merges['batch']?.()
  return await merges['batch']?.()
}
merges['overwrite'] = async () => {
  await merge('a & b', { models: used('a & b'), out: at('out'), maxShardSize: '60KB' })
  return await merge('b & a', { models: used('a & b'), out: at('out'), overwrite: true })
}
merges['done already'] = async () => {
  await merge('a & b', { models: used('a & b'), out: at('out'), resume: true })
  return await merge('a & b', { models: used('a & b'), out: at('out'), resume: true })
}
merges['fuse done already'] = async () => {
  await fuse(at('a'), at('b'), { out: at('out'), resume: true })
  return await fuse(at('a'), at('b'), { out: at('out'), resume: true })
}
merges['resume after an abort'] = async () => {
  const controller = new AbortController()
  const request = { models: used('a & b & c'), out: at('out'), resume: true, maxShardSize: '40KB', threads: 1 }
  let tensors = 0
  const onTensor = () => {
    if (++tensors === 12) controller.abort(new Error('stopped'))
  }
  await merge('(a & b) & c', { ...request, signal: controller.signal, onTensor }).catch(() => {})
  const { bytesRead: _, ...summary } = await merge('(a & b) & c', request)
  return { ...summary, bytesWritten: 'depends on when it stopped' }
}
for (const step of [3, 8, 12, 16, 20, 24]) {
  merges[`resume after a kill at step ${step}`] = () => {
    const line = [
      'merge',
      'ties(base, a, b; density=0.5) & c',
      ...modelArguments('base a b c'),
      '--out',
      at('out'),
      '--max-shard-size',
      '80KB',
      '--resume',
      '--json',
    ]
    const told = [command(line, step), command(line)].map(({ status, signal }) => [status, signal])
    return told
  }
}
merges['parts'] = async () => {
  const request = { models: used('a & b & c'), out: at('out'), maxShardSize: '80KB', sha256: true }
  const told = []
  for (const part of [2, 1, 3]) told.push(await mergePart('(a & b) & c', { ...request, part, parts: 3 }))
  told.push(await mergePart('(a & b) & c', { ...request, part: 2, parts: 3 }))
  told.push(await finishMerge(at('out')))
  return told
}
merges['a part that was killed'] = async () => {
  const line = [
    'merge',
    '(a & b) & c',
    ...modelArguments('a b c'),
    '--out',
    at('out'),
    '--max-shard-size',
    '80KB',
    '--json',
  ]
  const told = [
    command([...line, '--shard', '1/2'], 6),
    command([...line, '--shard', '1/2']),
    command([...line, '--shard', '2/2']),
  ]
  return [told.map(({ status, signal }) => [status, signal]), await finishMerge(at('out'))]
}
merges['reproduce'] = async () => {
  await merge('(a & b) & c', { models: used('a & b & c'), out: at('first'), sha256: true, dtype: 'F16' })
  const told = await reproduce(at('first'), { models: used('a & b & c'), out: at('out') })
  const again = await reproduce(at('first'), { models: used('a & b & c'), out: at('out'), resume: true })
  rmSync(at('first'), { recursive: true })
  return [told, again]
}
merges['plans'] = async () => [
  await plan.fuse(at('a'), at('b'), { out: at('out'), dtype: 'F32' }),
  await plan.merge('(a & b) & c', { models: used('a & b & c'), out: at('out') }),
]

/** @type {Record<string, () => unknown>} */
const refused = {
  'no model': () => merge('a & d', { models: used('a & b'), out: at('out') }),
  'no directory': () => fuse(at('a'), at('absent'), { out: at('out') }),
  rows: () => fuse(at('wide'), at('a'), { out: at('out') }),
  names: () => fuse(at('a'), at('prefixed'), { out: at('out') }),
  heads: () => fuse(at('headed'), at('a'), { out: at('out') }),
  architectures: () => fuse(at('a'), at('other'), { out: at('out') }),
  dtypes: () => fuse(at('a'), at('b-F32'), { out: at('out') }),
  'an input': () => fuse(at('a'), at('b'), { out: at('a') }),
  'an output': () => fuse(at('a'), at('b'), { out: at('base') }),
  'another merge': () => fuse(at('a'), at('b'), { out: at('c'), resume: true }),
  'finish of nothing': () => finishMerge(at('out')),
  'a part too many': () => mergePart('a & b', { models: used('a & b'), out: at('out'), part: 4, parts: 3 }),
  'reproduce from others': async () => {
    await merge('a & b', { models: used('a & b'), out: at('first') })
    try {
      await reproduce(at('first'), { models: { ...used('b'), a: at('c') }, out: at('out') })
    } finally {
      rmSync(at('first'), { recursive: true })
    }
  },
}
for (const [name, call] of Object.entries(refused)) {
  merges[`refused: ${name}`] = async () => {
    try {
      await call()
    } catch (error) {
      const { code, message } = /** @type {{ code?: string, message: string }} */ (error)
      return { code, message }
    }
    throw new Error(`Expected a refusal of ${name}`)
  }
}
for (const [name, line] of /** @type {[string, string[]][]} */ ([
  ['fuse', ['fuse', 'a', 'b', '--out', 'out', '--stats', 'stats.jsonl']],
  ['fuse --plan', ['fuse', 'a', 'b', '--out', 'out', '--plan']],
  [
    'merge',
    [
      'merge',
      '(a & b) & c',
      '--model',
      'a=a',
      '--model',
      'b=b',
      '--model',
      'c=c',
      '--out',
      'out',
      '--stats',
      'stats.jsonl',
    ],
  ],
  ['merge --plan', ['merge', 'linear(a, b)', '--model', 'a=a', '--model', 'b=b', '--out', 'out', '--plan', '--json']],
  [
    'merge --slurm --plan',
    ['merge', 'linear(a, b)', '--model', 'a=a', '--model', 'b=b', '--out', 'out', '--slurm', '--plan', '--parts', '2'],
  ],
])) {
  merges[`command: ${name}`] = () => {
    const { status, stdout, stderr } = command(line)
    const again = line.includes('--plan') ? undefined : command([...line, '--resume'])
    const stats = again && readFileSync(at('stats.jsonl'), 'utf8')
    rmSync(at('stats.jsonl'), { force: true })
    return [status, stdout, stderr, again?.stdout, stats]
  }
}

/** Runs the command in the directory of the models; with `step`, kills it before its change of so high a number. */
function command(/** @type {string[]} */ args, /** @type {number | undefined} */ step = undefined) {
  const here = fileURLToPath(new URL('..', import.meta.url))
  const preload = step === undefined ? [] : ['--import', join(here, 'test/support/killAtStep.js')]
  const env = { ...process.env, BRANCHMERGE_TEST_KILL_AT: `${step}` }
  return spawnSync(process.execPath, [...preload, join(here, 'bin/branchmerge.js'), ...args], {
    cwd: root,
    env,
    encoding: 'utf8',
  })
}

/** Without what differs from run to run. */
function steady(/** @type {unknown} */ told) {
  return JSON.stringify(told, (key, value) => (key === 'seconds' || key === 'freeBytes' ? undefined : value))
    .replaceAll(root, 'ROOT')
    .replaceAll(fileURLToPath(new URL('..', import.meta.url)), 'PACKAGE/')
    .replace(/(seconds|freeBytes)\\":[\d.]+/g, '$1')
    .replace(/in [\d.]+ (ms|s), [\d.]+ [kMG]?B\/s/g, 'in SECONDS')
    .replace(/[\d.]+ [kMGT]?B free/g, 'FREE')
}

/** @param {string} directory @returns {string[]} */
function hashes(directory) {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()
  return names
    .filter((name) => statSync(join(directory, name)).isFile())
    .map(
      (name) =>
        `  ${createHash('sha256')
          .update(readFileSync(join(directory, name)))
          .digest('hex')} ${name}`,
    )
}

writeModels()
for (const [name, make] of Object.entries(merges)) {
  const told = steady(await make())
  const files = readdirSync(root).includes('out') ? hashes(at('out')) : []
  process.stdout.write([name, ...files, `  ${told}`, ''].join('\n'))
  rmSync(at('out'), { recursive: true, force: true })
}
