// Starts the server of a model and leaves without closing it: node serveAndExit.js MODEL COMMAND LOG exit|kill
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEngine } from '../../dist/engines/open/openEngine.js'

const [path = '', serve = '', log = '', how = 'exit'] = process.argv.slice(2)
await openEngine({ path, serve, log })
// The test reads there which processes must end.
while (!/^worker .*\n/m.test(readFileSync(log, 'utf8'))) await sleep(20)
if (how === 'kill') process.kill(process.pid, 'SIGKILL')
process.exit(0)
