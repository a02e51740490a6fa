import { createRequire } from 'node:module'

const { version: packageVersion } = createRequire(import.meta.url)('../package.json') as { version: string }

/** Version of this package. Read from package.json so that it is known without the native build. */
export const version: string = packageVersion
