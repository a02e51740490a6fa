/**
 * Time and memory of the statistics of an evaluation: `node bench/analyse.js [outcomes]`, 100,000 by default. Prints JSON.
 * Outcomes are made as they are read, so memory is what the analysis keeps.
 */
import { Random } from '../test/support/random.js'

// The built package, typed by its source: type-checking this file must not need a build.
const built = new URL('../dist/evaluate/analysis/analyse.js', import.meta.url).href
const { analyse } = /** @type {typeof import('../lib/evaluate/analysis/analyse.js')} */ (await import(built))

/** @typedef {import('../lib/evaluate/analysis/results.js').Outcome} Outcome */

const models = ['base', 'expert', 'merged']

/** @param {string} name @param {number} questions @param {number} trials @returns {Generator<Outcome>} */
function* outcomesOf(name, questions, trials) {
  const random = new Random(1)
  for (const model of models) {
    for (let q = 0; q < questions; q++) {
      const chance = random.uniform()
      const labels = { task: `task ${q % 27}` }
      for (let trial = 0; trial < trials; trial++) {
        const right = random.uniform() < chance
        // A program, as code benchmarks have it: its text must not be kept.
        const extracted = right ? `${q}` : `${'print(input())\n'.repeat(20)}${random.below(100)}`
        const status = right ? 'correct' : 'wrong'
        const tokens = 100 + random.below(32_000)
        yield {
          model,
          benchmark: name,
          question: `${name}/${q}`,
          trial,
          labels,
          status,
          extracted,
          tokens,
          truncated: false,
        }
      }
    }
  }
}

/** @param {string} name @param {number} questions @param {number} trials */
async function measure(name, questions, trials) {
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  let peak = before
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss)
  }, 5)
  const start = performance.now()
  const processor = process.cpuUsage()
  await analyse(outcomesOf(name, questions, trials), {
    models,
    benchmarks: [{ name, kind: 'custom', profile: 'strict', version: '1', confidential: false, notes: [] }],
    baseline: 'base',
  })
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(processor)
  clearInterval(timer)
  peak = Math.max(peak, process.memoryUsage().rss)
  return {
    name,
    models: models.length,
    questions,
    trials,
    outcomes: models.length * questions * trials,
    seconds,
    processorSeconds: (user + system) / 1e6,
    megabytes: (peak - before) / 1e6,
  }
}

const outcomes = Number(process.argv[2] ?? 100_000)
const sizes = /** @type {const} */ ([
  ['aime', 30, 16],
  ['bbh', 6511, 1],
  ['stored', Math.ceil(outcomes / (3 * 16)), 16],
  ['stored, one trial', Math.ceil(outcomes / 3), 1],
])
const results = []
for (const [name, questions, trials] of sizes) results.push(await measure(name, questions, trials))
console.log(JSON.stringify(results, undefined, 2))
