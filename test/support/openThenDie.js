// Opens the embedded engine of a model and is killed at the first sign of the export: node openThenDie.js MODEL CACHE
import { openEngine } from '../../dist/engines/open/openEngine.js'

const [path = '', cache = ''] = process.argv.slice(2)
await openEngine(
  { path, cache },
  {
    onProgress: ({ stage }) => {
      if (stage === 'export') process.kill(process.pid, 'SIGKILL')
    },
  },
)
