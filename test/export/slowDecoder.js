/**
 * A decoder of Qwen2, Llama and Qwen3 in float64 and plain loops, written from the formulas: logits of every position of
 * one text. It shares nothing with the package.
 */

/**
 * @typedef {object} Model
 * @property {Record<string, any>} config config.json
 * @property {(name: string) => Float64Array | undefined} tensor a tensor's elements, row-major
 */

/** y = W x + b for a row-major W of `rows` rows. @param {Float64Array} w @param {Float64Array | undefined} b @param {ArrayLike<number>} x */
function multiply(w, b, x) {
  const rows = w.length / x.length
  const y = new Float64Array(rows)
  for (let i = 0; i < rows; i++) {
    let sum = b?.[i] ?? 0
    for (let j = 0; j < x.length; j++) sum += /** @type {number} */ (w[i * x.length + j]) * /** @type {number} */ (x[j])
    y[i] = sum
  }
  return y
}

/** @param {Float64Array} x @param {Float64Array} w @param {number} epsilon */
function normalise(x, w, epsilon) {
  let square = 0
  for (const value of x) square += value * value
  const scale = 1 / Math.sqrt(square / x.length + epsilon)
  return x.map((value, i) => value * scale * /** @type {number} */ (w[i]))
}

/** Angular frequencies of the rotary embedding, and the factor of its cosines and sines. @param {Record<string, any>} config @param {number} d */
function frequencies(config, d) {
  const scaling = config.rope_scaling ?? {}
  const type = scaling.rope_type ?? 'default'
  const theta = config.rope_theta
  const plain = Array.from({ length: d / 2 }, (_, i) => theta ** ((-2 * i) / d))
  const f = scaling.factor
  const original = scaling.original_max_position_embeddings
  if (type === 'linear') return { inverse: plain.map((w) => w / f), factor: 1 }
  if (type === 'llama3') {
    const { low_freq_factor: low, high_freq_factor: high } = scaling
    return {
      factor: 1,
      inverse: plain.map((w) => {
        const length = (2 * Math.PI) / w
        if (length < original / high) return w
        if (length > original / low) return w / f
        const smooth = (original / length - low) / (high - low)
        return ((1 - smooth) * w) / f + smooth * w
      }),
    }
  }
  if (type === 'yarn') {
    const dimension = (/** @type {number} */ turns) =>
      (d * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
    const low = Math.max(0, Math.floor(dimension(32)))
    const high = Math.min(d - 1, Math.ceil(dimension(1)))
    return {
      factor: 0.1 * Math.log(f) + 1,
      inverse: plain.map((w, i) => {
        const ramp = Math.min(1, Math.max(0, (i - low) / Math.max(high - low, 0.001)))
        return (w / f) * ramp + w * (1 - ramp)
      }),
    }
  }
  return { inverse: plain, factor: 1 }
}

/** Halves of x as the two coordinates. @param {Float64Array} x @param {number} position @param {{ inverse: number[], factor: number }} rope */
function rotate(x, position, { inverse, factor }) {
  const half = x.length / 2
  const y = new Float64Array(x.length)
  for (let i = 0; i < half; i++) {
    const angle = position * /** @type {number} */ (inverse[i])
    const [c, s] = [Math.cos(angle) * factor, Math.sin(angle) * factor]
    const [a, b] = [/** @type {number} */ (x[i]), /** @type {number} */ (x[i + half])]
    y[i] = a * c - b * s
    y[i + half] = b * c + a * s
  }
  return y
}

/** @param {Float64Array} x @param {number} heads @returns {Float64Array[]} */
const split = (x, heads) =>
  Array.from({ length: heads }, (_, h) => x.slice((h * x.length) / heads, ((h + 1) * x.length) / heads))

/** @param {Float64Array} query @param {Float64Array[]} keys @param {Float64Array[]} values */
function attend(query, keys, values) {
  const scores = keys.map(
    (key) => key.reduce((sum, k, i) => sum + k * /** @type {number} */ (query[i]), 0) / Math.sqrt(query.length),
  )
  const largest = Math.max(...scores)
  const weights = scores.map((score) => Math.exp(score - largest))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const out = new Float64Array(query.length)
  for (const [j, value] of values.entries()) {
    const share = /** @type {number} */ (weights[j]) / total
    for (const [i, x] of value.entries()) out[i] = /** @type {number} */ (out[i]) + share * x
  }
  return out
}

/** @param {Model} model @param {readonly number[]} ids @returns {Float64Array[]} logits of each position */
export function slowLogits({ config, tensor }, ids) {
  const take = (/** @type {string} */ name) => {
    const found = tensor(name)
    if (!found) throw new Error(`no tensor ${name}`)
    return found
  }
  const { hidden_size: width, num_attention_heads: heads, num_key_value_heads: groups, rms_norm_eps: epsilon } = config
  const d = config.head_dim ?? width / heads
  const rope = frequencies(config, d)
  const embedding = take('model.embed_tokens.weight')
  const states = ids.map((id) => embedding.slice(id * width, (id + 1) * width))
  const add = (/** @type {Float64Array} */ x, /** @type {Float64Array} */ y) => {
    for (let i = 0; i < x.length; i++) x[i] = /** @type {number} */ (x[i]) + /** @type {number} */ (y[i])
  }
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const prefix = `model.layers.${layer}`
    const attention = `${prefix}.self_attn`
    const project = (/** @type {string} */ name, /** @type {ArrayLike<number>} */ x) =>
      multiply(take(`${name}.weight`), tensor(`${name}.bias`), x)
    /** @type {Float64Array[][]} */
    const keys = []
    /** @type {Float64Array[][]} */
    const values = []
    for (const [t, state] of states.entries()) {
      const x = normalise(state, take(`${prefix}.input_layernorm.weight`), epsilon)
      const headed = (/** @type {string} */ name, /** @type {number} */ count) => {
        const norm = tensor(`${attention}.${name}_norm.weight`)
        return split(project(`${attention}.${name}_proj`, x), count).map((head) =>
          rotate(norm ? normalise(head, norm, epsilon) : head, t, rope),
        )
      }
      const queries = headed('q', heads)
      keys.push(headed('k', groups))
      values.push(split(project(`${attention}.v_proj`, x), groups))
      const mixed = queries.flatMap((query, h) => {
        const g = Math.floor((h * groups) / heads)
        const of = (/** @type {Float64Array[][]} */ all) => all.map((each) => /** @type {Float64Array} */ (each[g]))
        return [...attend(query, of(keys), of(values))]
      })
      add(state, project(`${attention}.o_proj`, mixed))
    }
    for (const state of states) {
      const x = normalise(state, take(`${prefix}.post_attention_layernorm.weight`), epsilon)
      const gate = project(`${prefix}.mlp.gate_proj`, x)
      const up = project(`${prefix}.mlp.up_proj`, x)
      const inner = gate.map((g, i) => (g / (1 + Math.exp(-g))) * /** @type {number} */ (up[i]))
      add(state, project(`${prefix}.mlp.down_proj`, inner))
    }
  }
  const head = config.tie_word_embeddings ? embedding : take('lm_head.weight')
  const norm = take('model.norm.weight')
  return states.map((state) => multiply(head, undefined, normalise(state, norm, epsilon)))
}
