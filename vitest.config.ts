import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

// The files that take longest, so that none of them is left for the end: nothing is known of a clean clone but sizes.
const first = [
  'engines/server/longSilence',
  'train/threeExperts',
  'slurm/trainOverSlurm',
  'slurm/mergeOverSlurm',
  'evaluate/manyAnswers',
  'sandbox/exploits',
  'sandbox/openSandbox',
  'merge/crashSafety',
  'merge/splitMerge',
  'methods/golden',
  'methods/cases',
  'train/trainer/resume',
  'merge/resume',
  'merge/killSafety',
].map((name) => `/test/${name}.test.ts`)

// What test/run.sh leaves out without --all, beside the rounds of test/support/rounds.ts: a cluster takes minutes to
// do little, a browser is 300 MB to install, and a silent server takes its time.
const leftOut =
  process.env.BRANCHMERGE_TEST_QUICK === '1'
    ? ['test/slurm/**', 'test/browser/**', 'test/engines/server/longSilence.test.ts']
    : []

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const place = first.findIndex((name) => moduleId.endsWith(name))
      return place < 0 ? first.length : place
    }
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['**/node_modules/**', ...leftOut],
    // A process of its own for each file: tests set environment variables, send signals and load the addon.
    pool: 'forks',
    // Vitest would leave a core to itself.
    maxWorkers: availableParallelism(),
    sequence: { sequencer: LongestFirst },
    // llama.cpp, as test/setup.sh installed it.
    env: { BRANCHMERGE_LLAMA: fileURLToPath(new URL('test/llama/node_modules/node-llama-cpp', import.meta.url)) },
    globalSetup: 'test/support/buildDist.ts',
    // For what hangs only: tests run beside everything else, on machines of any speed, and none says less.
    testTimeout: 900_000,
    hookTimeout: 900_000,
  },
})
