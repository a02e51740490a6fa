import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { BranchMergeError, merge } from '../../lib/index.js'
import type { Recipe } from '../../lib/recipe/recipe.js'
import { writeExperts } from '../support/experts.js'
import { temporaryDirectory } from '../support/temporary.js'
import { drawModel, fineTune, qwen2Shapes, writeCheckpoint } from '../support/writeCheckpoint.js'

function setting() {
  const directory = temporaryDirectory()
  const experts = writeExperts(directory)
  return { directory, out: join(directory, 'out'), ...experts }
}

async function refusal(work: Promise<unknown>): Promise<BranchMergeError> {
  const error = await work.then(
    () => undefined,
    (reason) => reason,
  )
  if (error instanceof BranchMergeError) return error
  throw new Error(`Expected a refusal, not ${error}`)
}

const expression = '(math & science) & coding'
const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

describe('preflight', () => {
  test('lists what is wrong with every model, the rules and the output, all at once, and writes nothing', async () => {
    const { directory, out, paths, tensors } = setting()
    const [first, ...rest] = [...tensors.science]
    writeCheckpoint(paths.science, { tensors: new Map(rest) })
    const coding = new Map(tensors.coding)
    coding.set('model.norm.weight', { dtype: 'F32', shape: [16], data: new Uint8Array(64) })
    coding.set('model.layers.0.input_layernorm.weight', { dtype: 'BF16', shape: [8], data: new Uint8Array(16) })
    coding.set('extra', { dtype: 'BF16', shape: [1], data: new Uint8Array(2) })
    rmSync(paths.coding, { recursive: true })
    writeCheckpoint(paths.coding, { tensors: coding, config: { num_hidden_layers: 3 } })
    writeFileSync(join(directory, 'taken'), '')
    const recipe: Recipe = { expression, expect: { layers: 2 } }
    const { code, message } = await refusal(merge(recipe, { models: paths, out: directory }))
    expect(code).toBe('ERR_OUTPUT_IS_INPUT')
    for (const part of [
      'for 4 reasons',
      'Expected an output outside of the inputs',
      'Expected a new or empty directory',
      'expect.layers: Expected 2 but coding has 3',
      `"${first?.[0]}" is in math but not in science`,
      '"model.norm.weight" is BF16 in math and F32 in coding',
      '"model.layers.0.input_layernorm.weight" is [16] in math and [8] in coding',
      '"extra" is in coding but not in math',
    ]) {
      expect(message).toContain(part)
    }
    expect(readdirSync(directory).sort()).toEqual(['coding', 'math', 'science', 'taken'])
    expect(() => readdirSync(out)).toThrow('ENOENT')
  })

  test('models that cannot be opened are all named', async () => {
    const { directory, out, paths } = setting()
    writeFileSync(join(paths.coding, 'config.json'), '{')
    const models = { ...paths, science: join(directory, 'no') }
    const { code, message } = await refusal(merge(expression, { models, out }))
    expect(code).toBe('ERR_CHECKPOINT_NOT_FOUND')
    expect(message).toContain('There is no checkpoint at')
    expect(message).toContain('config.json')
  })

  test('rules are checked against the tensors that there are', async () => {
    const { out, paths } = setting()
    const recipe: Recipe = {
      expression,
      rules: [
        { match: '*.experts.*', options: { lambda: 2 } },
        { layers: [1, 5], options: { lambda: 2 } },
      ],
    }
    const { code, message } = await refusal(merge(recipe, { models: paths, out }))
    expect(code).toBe('ERR_RECIPE')
    expect(message).toContain('"*.experts.*" matches none')
    expect(message).toContain('Expected layers within [0, 2] but received [1, 5]')
  })

  test('vocabularies that differ', async () => {
    const { directory, out, paths } = setting()
    const larger = fineTune(drawModel({ shapes: qwen2Shapes(sizes(100)) }), { seed: 9 })
    const science = writeCheckpoint(join(directory, 'larger'), { tensors: larger })
    const { code, message } = await refusal(merge(expression, { models: { ...paths, science }, out }))
    expect(code).toBe('ERR_SHAPE_MISMATCH')
    expect(message).toContain('"model.embed_tokens.weight" is [96, 16] in math and [100, 16] in science')
    expect(message).toContain('vocabulary')
  })

  const codes = (dtype: string, shape: number[], bytes: number) => ({ dtype, shape, data: new Uint8Array(bytes) })
  const projection = 'model.layers.0.self_attn.q_proj'
  test.each([
    ['gptq', { quant_method: 'gptq', bits: 4 }, 'qweight', codes('I32', [2, 16], 128)],
    ['awq', { quant_method: 'awq', bits: 4 }, 'qweight', codes('I32', [16, 2], 128)],
    ['bitsandbytes', { load_in_4bit: true }, 'weight', codes('U8', [128, 1], 128)],
    ['bitsandbytes', { quant_method: 'bitsandbytes', load_in_8bit: true }, 'weight', codes('I8', [16, 16], 256)],
    ['fp8', { quant_method: 'fp8', weight_block_size: [128, 128] }, 'weight', codes('F8_E4M3', [16, 16], 256)],
    ['compressed-tensors', { quant_method: 'compressed-tensors' }, 'weight_packed', codes('I32', [16, 2], 128)],
    ['a method that config.json does not name', {}, 'qweight', codes('I32', [2, 16], 128)],
  ])('weights quantised with %s, of one model or of all', async (method, quantization_config, name, tensor) => {
    const { out, paths, tensors } = setting()
    const quantise = (model: 'math' | 'science' | 'coding') => {
      const own = new Map(tensors[model])
      own.delete(`${projection}.weight`)
      own.set(`${projection}.${name}`, tensor)
      rmSync(paths[model], { recursive: true })
      writeCheckpoint(paths[model], { tensors: own, config: { quantization_config } })
    }
    const line = (model: 'math' | 'science' | 'coding') =>
      `  ${model}, ${paths[model]}, is quantised with ${method}: "${projection}.${name}" is ${tensor.dtype}`
    quantise('science')
    const one = await refusal(merge(expression, { models: paths, out }))
    expect(one.code).toBe('ERR_DTYPE_UNSUPPORTED')
    expect(one.message).toMatch(/before they are quantised, and quantise the result\.\n.*$/)
    expect(one.message).toContain(line('science'))
    quantise('math')
    quantise('coding')
    const all = await refusal(merge(expression, { models: paths, out }))
    for (const model of ['math', 'science', 'coding'] as const) expect(all.message).toContain(line(model))
    expect(() => readdirSync(out)).toThrow('ENOENT')
  })

  test('a quantization_config that was left beside dequantised weights stands in no way, nor do masks and positions', async () => {
    const { out, paths, tensors } = setting()
    for (const model of ['math', 'science', 'coding'] as const) {
      const own = new Map(tensors[model])
      own.set('model.layers.0.self_attn.bias', codes('U8', [1, 1, 4, 4], 16))
      own.set('model.embeddings.position_ids', codes('I32', [1, 8], 32))
      own.set('model.layers.0.mlp.group_index', codes('I64', [2, 2], 32))
      rmSync(paths[model], { recursive: true })
      writeCheckpoint(paths[model], { tensors: own, config: { quantization_config: { quant_method: 'gptq' } } })
    }
    const { tensors: merged } = await merge(expression, { models: paths, out })
    expect(merged).toBe(tensors.math.size + 3)
  })

  test('rows of a model that has no such name', async () => {
    const { out, paths } = setting()
    const embeddings = 'middle' as 'left'
    const { code, message } = await refusal(merge({ expression, embeddings }, { models: paths, out }))
    expect(code).toMatch(/^ERR_(RECIPE|INVALID_ARGUMENT)$/)
    expect(message).toMatch(/'?left'?.*'?right'?/s)
    expect(message).toContain('middle')
  })

  test('stored heads that are not what the configuration ties, of several models', async () => {
    const { out, paths, tensors } = setting()
    for (const name of ['math', 'coding'] as const) {
      const own = new Map(tensors[name])
      own.set('lm_head.weight', fineTune(own, { seed: 9 }).get('model.embed_tokens.weight') as never)
      rmSync(paths[name], { recursive: true })
      writeCheckpoint(paths[name], { tensors: own })
    }
    const { code, message } = await refusal(merge(expression, { models: paths, out }))
    expect(code).toBe('ERR_TIED_WEIGHTS')
    expect(message).toContain('for 2 reasons')
    expect(message).toContain(paths.math)
    expect(message).toContain(paths.coding)
  })

  test.each<[Recipe['expect'], string]>([
    [{ architecture: 'LlamaForCausalLM' }, 'Expected LlamaForCausalLM but math has Qwen2ForCausalLM'],
    [{ tensors: 27 }, 'expect.tensors: Expected 27 but coding has 26'],
    [{ parameters: 1 }, 'expect.parameters: Expected 1 but science has 7824'],
    [{ dtype: 'F32' }, 'expect.dtype: Expected F32 but "model.embed_tokens.weight" of math is BF16'],
    [{ sameTokenizer: true }, 'expect.sameTokenizer: tokenizer.json differs between math and coding'],
  ])('expectations that are not met: %j', async (expect_, text) => {
    const { out, paths } = setting()
    writeFileSync(join(paths.coding, 'tokenizer.json'), '{"other":1}')
    const { code, message } = await refusal(merge({ expression, expect: expect_ ?? {} }, { models: paths, out }))
    expect(code).toBe('ERR_RECIPE')
    expect(message).toContain(text)
  })

  test('expectations that are met', async () => {
    const { out, paths } = setting()
    const expect_ = {
      architecture: 'Qwen2ForCausalLM',
      layers: 2,
      tensors: 26,
      parameters: 7824,
      dtype: 'BF16',
    } as const
    await merge({ expression, expect: { ...expect_, sameTokenizer: true } }, { models: paths, out })
  })

  test('a tokenizer that must be the same cannot be looked at beside a single file', async () => {
    const { out, paths } = setting()
    const models = { math: join(paths.science, 'model.safetensors'), science: paths.science }
    const recipe: Recipe = { expression: 'math & science', expect: { sameTokenizer: true } }
    const { message } = await refusal(merge(recipe, { models, out }))
    expect(message).toContain('Expected a directory with a tokenizer, not the file')
  })

  test('hashes of whole files that are not the expected ones', async () => {
    const { out, paths } = setting()
    const zeros = '0'.repeat(64)
    const recipe: Recipe = {
      models: { math: { sha256: zeros }, science: { sha256: zeros }, coding: { sha256: { 'x.safetensors': zeros } } },
      expression,
    }
    const { code, message } = await refusal(merge(recipe, { models: paths, out }))
    expect(code).toBe('ERR_RECIPE')
    expect(message).toContain('models.math.sha256: Expected a hash for each of 3 files, by name')
    expect(message).toContain(`models.science.sha256: Expected ${zeros} but `)
    expect(message).toContain('models.coding.sha256: Expected the file x.safetensors')
    expect(message).toContain('models.coding.sha256: Expected a hash for model-00001-of-00002.safetensors')
  })

  test('hashes that are as expected, or asked for, are recorded', async () => {
    const { directory, out, paths } = setting()
    const hashes = (path: string) =>
      readdirSync(path)
        .filter((name) => name.endsWith('.safetensors'))
        .map((name) => [name, sha256(join(path, name))] as const)
    const recipe: Recipe = {
      models: { math: { sha256: Object.fromEntries(hashes(paths.math)) }, science: {}, coding: {} },
      expression,
    }
    await merge(recipe, { models: paths, out })
    const recorded = (path: string, model: string) =>
      JSON.parse(readFileSync(join(path, 'branchmerge.json'), 'utf8')).models[model].files.map(
        (file: { sha256?: string }) => file.sha256,
      )
    expect(recorded(out, 'math')).toEqual(hashes(paths.math).map(([, hash]) => hash))
    expect(recorded(out, 'science')).toEqual([undefined])
    const all = join(directory, 'all')
    await merge(expression, { models: paths, out: all, sha256: true })
    for (const name of ['math', 'science', 'coding'] as const) {
      expect(recorded(all, name)).toEqual(hashes(paths[name]).map(([, hash]) => hash))
    }
  })

  test.each<[Record<string, unknown>, string]>([
    [{ modles: {} }, "Unknown option 'modles': did you mean models?"],
    [{ threads: 0 }, 'for threads but received 0'],
    [{ overwrite: 1 }, 'Expected true or false for overwrite'],
    [{ sha256: 'yes' }, 'Expected true or false for sha256'],
    [{ maxShardSize: 'x' }, 'for maxShardSize'],
    [{ lambda: -1 }, 'for lambda but received -1'],
  ])('wrong options: %j', async (options, text) => {
    const { out, paths } = setting()
    const { code, message } = await refusal(merge(expression, { models: paths, out, ...options }))
    expect(code).toBe('ERR_INVALID_ARGUMENT')
    expect(message).toContain(text)
  })
})

const sizes = (vocabulary: number) => ({
  hidden: 16,
  intermediate: 48,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  vocabulary,
})
