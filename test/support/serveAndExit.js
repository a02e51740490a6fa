// Starts the server of a model and leaves without closing it: node serveAndExit.js MODEL COMMAND LOG
import { openEngine } from '../../dist/engines/open/openEngine.js'

const [path = '', serve = '', log = ''] = process.argv.slice(2)
await openEngine({ path, serve, log })
process.exit(0)
