import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { isHome } from '../pathFromFile.js'

/** What the environment says of the Hub: the variables of Hugging Face's own tools. */
export interface HubSettings {
  /** Without a slash at its end. */
  endpoint: string
  /** Directory of the cache: of repositories, and of locks. */
  cache: string
  token: string | undefined
  /** No request may be made. */
  offline: boolean
}

/** Reads the environment, and the stored token. @throws ERR_INVALID_ARGUMENT for an HF_ENDPOINT that is no address */
export function hubSettings(env: NodeJS.ProcessEnv = process.env): HubSettings {
  const home = given(env, 'HF_HOME') ?? join(given(env, 'XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface')
  return {
    endpoint: endpointOf(given(env, 'HF_ENDPOINT') ?? 'https://huggingface.co'),
    cache: given(env, 'HF_HUB_CACHE') ?? given(env, 'HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub'),
    token: isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN) ? undefined : tokenOf(env, home),
    offline: isTrue(env.HF_HUB_OFFLINE) || isTrue(env.TRANSFORMERS_OFFLINE),
  }
}

/** A variable that is empty counts as none; ~ is the home directory. */
function given(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = env[name]
  if (!value) return undefined
  return isHome(value) ? join(homedir(), value.slice(1)) : value
}

const isTrue = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? '')

function tokenOf(env: NodeJS.ProcessEnv, home: string): string | undefined {
  const named = clean(env.HF_TOKEN) ?? clean(env.HUGGING_FACE_HUB_TOKEN)
  if (named !== undefined) return named
  try {
    return clean(readFileSync(given(env, 'HF_TOKEN_PATH') ?? join(home, 'token'), 'utf8'))
  } catch {
    return undefined // nobody has logged in here
  }
}

/** Line ends of files and of secrets in CI would break a header. */
function clean(token: string | undefined): string | undefined {
  const text = token?.replace(/[\r\n]/g, '').trim()
  return text === '' ? undefined : text
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && /^https?:$/.test(url.protocol) && url.username === '') return text.replace(/\/+$/, '')
  throw new BranchMergeError('ERR_INVALID_ARGUMENT', 'Expected an address https://HOST without a user in HF_ENDPOINT')
}
