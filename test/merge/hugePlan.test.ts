import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCommand } from '../support/runCommand.js'

/** The tensors of a mixture of experts of 671e9 parameters, DeepSeek-V3's shapes in bf16. */
function tensors(): [name: string, shape: number[]][] {
  const list: [string, number[]][] = [
    ['model.embed_tokens.weight', [129280, 7168]],
    ['lm_head.weight', [129280, 7168]],
    ['model.norm.weight', [7168]],
  ]
  for (let layer = 0; layer < 61; layer++) {
    const add = (name: string, ...shape: number[]) => list.push([`model.layers.${layer}.${name}.weight`, shape])
    const feedForward = (name: string, width: number) => {
      add(`${name}.gate_proj`, width, 7168)
      add(`${name}.up_proj`, width, 7168)
      add(`${name}.down_proj`, 7168, width)
    }
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) add(norm, 7168)
    add('self_attn.q_a_proj', 1536, 7168)
    add('self_attn.q_b_proj', 24576, 1536)
    add('self_attn.kv_a_proj_with_mqa', 576, 7168)
    add('self_attn.kv_b_proj', 32768, 512)
    add('self_attn.o_proj', 7168, 16384)
    if (layer < 3) feedForward('mlp', 18432)
    else {
      add('mlp.gate', 256, 7168)
      feedForward('mlp.shared_experts', 2048)
      for (let expert = 0; expert < 256; expert++) feedForward(`mlp.experts.${expert}`, 2048)
    }
  }
  return list
}

/** Headers that are true and data that is a hole: 1.3 TB that take a few megabytes of disk. */
function writeHugeCheckpoint(directory: string): number {
  mkdirSync(directory)
  const list = tensors()
  const perShard = Math.ceil(list.length / 163)
  const weightMap: Record<string, string> = {}
  let parameters = 0
  for (let first = 0, shard = 1; first < list.length; first += perShard, shard++) {
    const file = `model-${String(shard).padStart(5, '0')}-of-00163.safetensors`
    let end = 0
    const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
    for (const [name, shape] of list.slice(first, first + perShard)) {
      const elements = shape.reduce((product, size) => product * size, 1)
      header[name] = { dtype: 'BF16', shape, data_offsets: [end, end + 2 * elements] }
      weightMap[name] = file
      end += 2 * elements
      parameters += elements
    }
    const text = Buffer.from(JSON.stringify(header))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(text.length))
    const descriptor = openSync(join(directory, file), 'w')
    writeSync(descriptor, Buffer.concat([length, text]))
    ftruncateSync(descriptor, 8 + text.length + end)
    closeSync(descriptor)
  }
  writeFileSync(
    join(directory, 'model.safetensors.index.json'),
    JSON.stringify({ metadata: { total_size: 2 * parameters }, weight_map: weightMap }),
  )
  return parameters
}

let directory: string
let parameters: number
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'branchmerge-huge-'))
  parameters = writeHugeCheckpoint(join(directory, 'math'))
})
afterAll(() => rmSync(directory, { recursive: true }))

test('a merge of three models of 671e9 parameters is planned from their headers', async () => {
  const model = join(directory, 'math')
  const models = ['math', 'science', 'coding'].flatMap((name) => ['--model', `${name}=${model}`])
  const { code, stdout, stderr } = await runCommand([
    ...['merge', '((math & science) & coding)', ...models],
    ...['--out', join(directory, 'out'), '--plan', '--json'],
  ])
  expect([code, stderr]).toEqual([0, ''])
  const plan = JSON.parse(stdout)
  expect(parameters).toBeGreaterThan(665e9)
  expect(plan).toMatchObject({ parameters, bytesToRead: 6 * parameters, bytesToWrite: 2 * parameters })
})

test('and split into the tasks of a cluster', async () => {
  const model = join(directory, 'math')
  const models = ['math', 'science'].flatMap((name) => ['--model', `${name}=${model}`])
  const options = ['--out', join(directory, 'out'), '--slurm', '--plan', '--json']
  const { code, stdout, stderr } = await runCommand(['merge', 'math & science', ...models, ...options])
  expect([code, stderr]).toEqual([0, ''])
  const { parts, files, jobs } = JSON.parse(stdout)
  expect([parts, files, jobs.length]).toEqual([64, 163, 2])
})
