import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { resolveFuseCheckpointsOptions } from '../../lib/fusion/fuseOptions.js'
import {
  BranchMergeError,
  type FuseCheckpointsOptions,
  finishMerge,
  fuse,
  merge,
  mergePart,
  reproduce,
  verify,
} from '../../lib/index.js'
import { fusionRequest } from '../../lib/merge/fuseCheckpoints.js'
import { planMerge } from '../../lib/merge/plan/planMerge.js'
import { writeExpertFiles } from '../../lib/train/trainingOutput.js'
import { hashFiles } from '../support/directoryContents.js'
import { decode, encode, type FloatDtype } from '../support/floats.js'
import { readSafetensors, type TestTensor } from '../support/readSafetensors.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { drawModel, fineTune, type Tensors, writeCheckpoint } from '../support/writeCheckpoint.js'

const embedding = 'model.embed_tokens.weight'
const head = 'lm_head.weight'
const base = drawModel()
const [leftTensors, rightTensors] = [fineTune(base, { seed: 2 }), fineTune(base, { seed: 3 })]

type Side = Partial<Parameters<typeof writeCheckpoint>[1]>

/** Two fine-tunes, each as it says otherwise. */
function pair(left: Side = {}, right: Side = {}) {
  const directory = temporaryDirectory()
  const write = (name: string, content: Parameters<typeof writeCheckpoint>[1]) =>
    writeCheckpoint(join(directory, name), content)
  return {
    left: write('left', { tensors: leftTensors, ...left }),
    right: write('right', { tensors: rightTensors, ...right }),
    out: join(directory, 'out'),
    again: join(directory, 'again'),
  }
}

type Pair = ReturnType<typeof pair>

async function refusal({ left, right, out }: Pair, options: Partial<FuseCheckpointsOptions> = {}) {
  const error = await fuse(left, right, { out, ...options }).then(
    () => undefined,
    (reason) => reason,
  )
  expect(existsSync(out)).toBe(false)
  if (error instanceof BranchMergeError) return error
  throw new Error(`Expected a refusal, not ${error}`)
}

async function notes({ left, right, out }: Pair, options: Partial<FuseCheckpointsOptions> = {}): Promise<string[]> {
  const request = fusionRequest(left, right, resolveFuseCheckpointsOptions({ out, ...options }))
  return (await planMerge(request)).notes
}

/** Fuses, has the manifest alone make the same files again, and finds the merge done when it is asked for again. */
async function fused({ left, right, out, again }: Pair, options: Partial<FuseCheckpointsOptions> = {}) {
  await fuse(left, right, { out, ...options })
  expect((await verify(out)).problems).toEqual([])
  await reproduce(out, { models: { left, right }, out: again })
  const files = readdirSync(out, { recursive: true, encoding: 'utf8' }).sort()
  expect(readdirSync(again, { recursive: true, encoding: 'utf8' }).sort()).toEqual(files)
  for (const name of files.filter((each) => /\.\w+$/.test(each)))
    expect(readFileSync(join(again, name)), name).toEqual(readFileSync(join(out, name)))
  expect(await fuse(left, right, { out, ...options, resume: true })).toMatchObject({ alreadyDone: true })
  const json = (name: string) => JSON.parse(readFileSync(join(out, name), 'utf8'))
  return {
    files,
    tensors: readSafetensors(join(out, 'model.safetensors')),
    config: json('config.json'),
    manifest: json('branchmerge.json'),
  }
}

const tensor = (tensors: Tensors, name: string) => tensors.get(name) as TestTensor
const withTensors = (tensors: Tensors, more: Record<string, TestTensor>): Tensors =>
  new Map([...tensors, ...Object.entries(more)])
const renamed = (tensors: Tensors, rename: (name: string) => string): Tensors =>
  new Map([...tensors].map(([name, each]) => [rename(name), each]))
const ones = (dtype: FloatDtype, shape: number[], value = 1): TestTensor => ({
  dtype,
  shape,
  data: encode(dtype, new Array(shape.reduce((product, size) => product * size, 1)).fill(value)),
})

describe('side files', () => {
  const along = {
    'additional_chat_templates/tool_use.jinja': '{{ tools }}',
    '1_Pooling/config.json': '{"pooling_mode": "cls"}',
    'modules.json': '[]',
    'tiktoken.model': 'YQ== 0\n',
  }

  test('those of subdirectories come along, are in the manifest and are verified', async () => {
    const models = pair({ files: along })
    const { files, manifest } = await fused(models)
    for (const name of Object.keys(along)) expect(files).toContain(name)
    const recorded = manifest.output.sideFiles.map(({ name }: { name: string }) => name)
    expect(recorded).toEqual(expect.arrayContaining(Object.keys(along)))
    rmSync(join(models.out, '1_Pooling'), { recursive: true })
    expect((await verify(models.out)).problems).toEqual([
      expect.stringContaining('1_Pooling/config.json: Expected this'),
    ])
  })

  test('of a checkpoint that is replaced they go, and so does what a failed merge had begun', async () => {
    const models = pair({ files: along })
    await fuse(models.left, models.right, { out: models.out })
    await fuse(models.right, models.left, { out: models.out, overwrite: true })
    const names = readdirSync(models.out)
    for (const name of ['additional_chat_templates', '1_Pooling', 'modules.json']) expect(names).not.toContain(name)
    expect((await verify(models.out)).problems).toEqual([])
  })

  test('parts of a merge come to the same files as one', async () => {
    const models = pair({ files: along })
    await fuse(models.left, models.right, { out: models.out })
    const options = { models: { left: models.left, right: models.right }, out: models.again }
    await mergePart('left & right', { ...options, part: 1, parts: 1 })
    await finishMerge(models.again)
    const hashes = hashFiles(models.out)
    expect(Object.keys(hashes)).toEqual(expect.arrayContaining(Object.keys(along)))
    expect(hashFiles(models.again)).toEqual({
      ...hashes,
      'README.md': expect.any(String),
      'branchmerge.json': expect.any(String),
    })
  })

  test("an expert has the model's, without what is said of quantisation", async () => {
    const config = { quantization_config: { quant_method: 'fp8' } }
    const { left, out } = pair({ files: along, config })
    mkdirSync(out)
    await writeExpertFiles(out, { model: left, tokenizer: undefined, chatTemplate: undefined, dtype: 'F32' })
    expect(Object.keys(hashFiles(out))).toEqual(expect.arrayContaining(Object.keys(along)))
    const written = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))
    expect([written.quantization_config, written.torch_dtype]).toEqual([undefined, 'float32'])
  })

  test('what is not copied is named', async () => {
    const files = { 'onnx/model.onnx': 'x', '2_Dense/model.safetensors': 'x', '.gitattributes': 'x' }
    expect(await notes(pair({ files }))).toContain('Not copied from Left: 2_Dense/model.safetensors, README.md, onnx/')
  })
})

describe('one tied and one untied head', () => {
  const own = { [head]: tensor(rightTensors, embedding) }
  const other = { [head]: ones('BF16', tensor(base, embedding).shape) }
  const untied = { tie_word_embeddings: false }

  test('a head that equals its embedding is left out, and the output is tied, whichever model is first', async () => {
    for (const swap of [false, true]) {
      const with_ = { tensors: withTensors(rightTensors, own), config: untied }
      const { tensors, config, manifest } = await fused(swap ? pair(with_) : pair({}, with_))
      expect(tensors.has(head)).toBe(false)
      expect(config.tie_word_embeddings).toBe(true)
      expect(manifest.tiedWeights).toEqual([head])
    }
  })

  test('one that differs is refused, and on request merged with the embedding', async () => {
    const models = pair({}, { tensors: withTensors(rightTensors, other), config: untied })
    const { code, message } = await refusal(models)
    expect([code, message]).toEqual(['ERR_TIED_WEIGHTS', expect.stringContaining('--heads embedding')])
    const { tensors, config, manifest } = await fused(models, { heads: 'embedding' })
    expect(config.tie_word_embeddings).toBe(false)
    expect(manifest.recipe.heads).toBe('embedding')
    // Left's head is its embedding: the same fusion as that of two models that store both.
    const stored = pair(
      { tensors: withTensors(leftTensors, { [head]: tensor(leftTensors, embedding) }), config: untied },
      { tensors: withTensors(rightTensors, other), config: untied },
    )
    const expected = (await fused(stored)).tensors
    expect(tensors.get(head)).toEqual(expected.get(head))
    expect(tensors.get(embedding)).toEqual(expected.get(embedding))
    expect(await notes({ ...models, out: models.again }, { heads: 'embedding', overwrite: true })).toContain(
      "Left: its embedding is read as its output head; the output's is not tied",
    )
  })

  test("Gemma's configuration ties without a word", async () => {
    const gemma = { model_type: 'gemma2', architectures: ['Gemma2ForCausalLM'], tie_word_embeddings: undefined }
    const { tensors, config } = await fused(
      pair(
        { tensors: withTensors(leftTensors, { [head]: tensor(leftTensors, embedding) }), config: gemma },
        { config: gemma },
      ),
    )
    expect(tensors.has(head)).toBe(false)
    expect(config).not.toHaveProperty('tie_word_embeddings')
    const stale = pair({ tensors: withTensors(leftTensors, other), config: gemma }, { config: gemma })
    expect((await refusal(stale)).code).toBe('ERR_TIED_WEIGHTS')
  })
})

describe('dtypes', () => {
  const converted = (tensors: Tensors, dtype: FloatDtype): Tensors =>
    new Map(
      [...tensors].map(([name, { shape, dtype: from, data }]) => [
        name,
        { shape, dtype, data: encode(dtype, Array.from(decode(from as FloatDtype, data))) },
      ]),
    )

  test('that differ are one line, with the options that help', async () => {
    const { code, message } = await refusal(pair({}, { tensors: converted(rightTensors, 'F32') }))
    expect(code).toBe('ERR_DTYPE_MISMATCH')
    expect(message.split('\n')).toHaveLength(2)
    expect(message).toContain(`26 tensors are BF16 in Left and F32 in Right: "${embedding}" and 25 more`)
    expect(message).toContain('--dtype DTYPE')
  })

  test('one for all reads what differs as if it had been stored in it', async () => {
    const exact = converted(rightTensors, 'F32')
    const models = pair({}, { tensors: exact })
    const expected = pair()
    for (const dtype of ['BF16', 'bfloat16'] as const) {
      const { tensors, manifest } = await fused(
        { ...models, out: `${models.out}${dtype}`, again: `${models.again}${dtype}` },
        { dtype },
      )
      expect(tensors).toEqual(
        (await fused({ ...expected, out: `${expected.out}${dtype}`, again: `${expected.again}${dtype}` })).tensors,
      )
      expect(manifest.recipe.output.dtype).toBe('BF16')
    }
    expect(await notes(models, { dtype: 'BF16' })).toContain(
      'Right: 26 tensors are F32 and read as BF16, since the models differ',
    )
  })

  test('one for a model goes before the one for all, from the command line, too', async () => {
    const models = pair({}, { tensors: converted(rightTensors, 'F32') })
    const { left, right, out } = models
    const conflict = await refusal(models, { modelDtypes: { left: 'BF16' }, dtype: 'F32' })
    expect(conflict.code).toBe('ERR_DTYPE_MISMATCH')
    const { tensors, manifest } = await fused(models, { modelDtypes: { left: 'float32' } })
    expect(tensors.get(embedding)?.dtype).toBe('F32')
    expect(manifest.recipe.models).toEqual({ left: { dtype: 'F32' }, right: {} })
    const viaCommand = join(out, '..', 'command')
    const command = await runCommand(['fuse', left, right, '--out', viaCommand, '--dtype', 'left=F32'])
    expect(command).toMatchObject({ code: 0 })
    expect(readFileSync(join(viaCommand, 'branchmerge.json'))).toEqual(readFileSync(join(out, 'branchmerge.json')))
    const twice = await runCommand(['fuse', left, right, '--out', viaCommand, '--dtype', 'F32', '--dtype', 'F16'])
    expect(twice.stderr).toContain('Expected one dtype, and others as NAME=DTYPE, for dtype')
  })
})

describe('names', () => {
  const nest = (name: string) => name.replace(/^model\./, 'model.language_model.')

  test('that agree but for prefixes are told in a line a model, and merged on request under those of the first', async () => {
    const models = pair({}, { tensors: renamed(rightTensors, nest) })
    const { code, message } = await refusal(models)
    expect(code).toBe('ERR_TENSOR_MISSING')
    expect(message.split('\n')).toHaveLength(2)
    expect(message).toContain(
      `26 names agree but for prefixes: "${embedding}" of Left is "${nest(embedding)}" in Right`,
    )
    expect(message).toContain('--names prefixes')
    const { tensors, manifest } = await fused(models, { names: 'prefixes' })
    expect(tensors).toEqual((await fused(pair())).tensors)
    expect(manifest.recipe.names).toBe('prefixes')
  })

  test('what is missing besides is still told', async () => {
    const tensors = renamed(rightTensors, nest)
    tensors.delete(nest('model.norm.weight'))
    const { message } = await refusal(pair({}, { tensors }))
    expect(message).toContain('25 names agree but for prefixes')
    expect(message).toContain('"model.norm.weight" is in Left but not in Right')
    expect((await refusal(pair({}, { tensors }), { names: 'prefixes' })).message).toContain(
      '"model.norm.weight" is in Left',
    )
  })

  test('that agree with two are not guessed', async () => {
    const twice = withTensors(renamed(rightTensors, nest), { 'language_model.norm.weight': ones('BF16', [16]) })
    const { message } = await refusal(pair({}, { tensors: twice }), { names: 'prefixes' })
    expect(message).toContain('"language_model.norm.weight" is in Right but not in Left')
    expect(message).toContain('"model.norm.weight" is in Left but not in Right')
  })
})

describe('configurations', () => {
  test('of other architectures are refused, unless any is allowed', async () => {
    const models = pair({}, { config: { architectures: ['LlamaForCausalLM'] } })
    const { code, message } = await refusal(models)
    expect(code).toBe('ERR_ARCHITECTURE_MISMATCH')
    expect(message).toContain('Qwen2ForCausalLM in Left, LlamaForCausalLM in Right')
    const { manifest } = await fused(models, { architectures: 'any' })
    expect(manifest.recipe.architectures).toBe('any')
  })

  test('say nothing of quantisation beside weights that are not quantised', async () => {
    const quantised = { quantization_config: { quant_method: 'fp8', weight_block_size: [128, 128] }, zoo: 1 }
    const models = pair({ config: quantised }, { config: quantised })
    const { config } = await fused(models)
    expect(config).not.toHaveProperty('quantization_config')
    expect(config).toMatchObject({ zoo: 1, model_type: 'qwen2' })
    expect(await notes({ ...models, out: join(models.out, '..', 'other') })).toContain(
      'quantization_config (fp8) in config.json of Left is left out: the weights are not quantised',
    )
  })
})

describe('buffers that models compute', () => {
  const frequencies = 'model.layers.0.self_attn.rotary_emb.inv_freq'

  test.each<[string, Record<string, TestTensor>]>([
    ['frequencies', { [frequencies]: ones('F32', [2]) }],
    ['masks', { 'h.0.attn.bias': ones('F32', [1, 1, 2, 2]), 'h.0.attn.masked_bias': ones('F32', []) }],
    ['positions', { position_ids: { dtype: 'I64', shape: [1, 1], data: new Uint8Array(8) } }],
  ])('%s of one model are left out', async (_, buffers) => {
    for (const models of [
      pair({ tensors: withTensors(leftTensors, buffers) }),
      pair({}, { tensors: withTensors(rightTensors, buffers) }),
    ]) {
      const { tensors, manifest } = await fused(models)
      expect([...tensors.keys()].filter((name) => name in buffers)).toEqual([])
      expect(manifest.buffers.sort()).toEqual(Object.keys(buffers).sort())
    }
  })

  test('of all models stay, and a bias that is a weight is none', async () => {
    const buffers = { [frequencies]: ones('F32', [2]) }
    const both = pair({ tensors: withTensors(leftTensors, buffers) }, { tensors: withTensors(rightTensors, buffers) })
    const { tensors, manifest } = await fused(both)
    expect(tensors.get(frequencies)).toEqual(buffers[frequencies])
    expect(manifest).not.toHaveProperty('buffers')
    const bias = { 'h.0.attn.bias': ones('BF16', [16]) }
    expect((await refusal(pair({ tensors: withTensors(leftTensors, bias) }))).code).toBe('ERR_TENSOR_MISSING')
  })

  test('stored in another dtype or length are left out, too', async () => {
    const [a, b] = [{ [frequencies]: ones('F32', [2]) }, { [frequencies]: ones('BF16', [4]) }]
    const { tensors } = await fused(
      pair({ tensors: withTensors(leftTensors, a) }, { tensors: withTensors(rightTensors, b) }),
    )
    expect(tensors.has(frequencies)).toBe(false)
  })
})

test('the choices of a recipe are those of the call, and wrong ones are refused', async () => {
  const models = pair({}, { config: { architectures: ['LlamaForCausalLM'] } })
  const { left, right, out } = models
  await merge({ expression: 'left & right', architectures: 'any' }, { models: { left, right }, out })
  await expect(
    merge(
      { expression: 'left & right', architectures: 'any' },
      { models: { left, right }, out: models.again, architectures: 'equal' },
    ),
  ).rejects.toMatchObject({ code: 'ERR_ARCHITECTURE_MISMATCH' })
  for (const wrong of [{ names: 'same' }, { heads: 'own' }, { architectures: true }, { modelDtypes: { left: 'I8' } }]) {
    await expect(fuse(left, right, { out: models.again, ...wrong } as never)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
  }
})
