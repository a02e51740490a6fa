import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { type AddressInfo, connect, type Server, type Socket } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hubSettings } from '../../lib/hub/settings.js'
import { selfSigned } from '../support/certificate.js'
import { HubServer, hubFiles } from '../support/hubServer.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory, temporaryDirectoryOfFile } from '../support/temporary.js'
import { drawModel, writeCheckpoint } from '../support/writeCheckpoint.js'

describe('the environment', () => {
  test.each<[Record<string, string>, string]>([
    [{}, join(homedir(), '.cache/huggingface/hub')],
    [{ XDG_CACHE_HOME: '/xdg' }, '/xdg/huggingface/hub'],
    [{ XDG_CACHE_HOME: '/xdg', HF_HOME: '/home' }, '/home/hub'],
    [{ XDG_CACHE_HOME: '/xdg', HF_HOME: '/home', HUGGINGFACE_HUB_CACHE: '/old' }, '/old'],
    [{ HF_HOME: '/home', HUGGINGFACE_HUB_CACHE: '/old', HF_HUB_CACHE: '/hub' }, '/hub'],
    [{ HF_HUB_CACHE: '', HF_HOME: '~/hf' }, join(homedir(), 'hf/hub')],
  ])('%j means the cache %s', (env, cache) => {
    expect(hubSettings(env).cache).toBe(cache)
  })

  test('names the token, or the file that has it', () => {
    const directory = temporaryDirectory()
    const write = (path: string, token: string) => {
      mkdirSync(join(directory, path, '..'), { recursive: true })
      writeFileSync(join(directory, path), `${token}\n`)
      return join(directory, path)
    }
    write('home/token', 'stored')
    write('xdg/huggingface/token', 'of xdg')
    const named = write('elsewhere', 'named file')
    const tokenOf = (env: Record<string, string>) => hubSettings(env).token
    const [HF_HOME, XDG_CACHE_HOME] = [join(directory, 'home'), join(directory, 'xdg')]
    expect(tokenOf({ XDG_CACHE_HOME })).toBe('of xdg')
    expect(tokenOf({ XDG_CACHE_HOME, HF_HOME })).toBe('stored')
    // Another cache is no other home.
    expect(tokenOf({ HF_HOME, HF_HUB_CACHE: directory })).toBe('stored')
    expect(tokenOf({ HF_HOME, HF_TOKEN_PATH: named })).toBe('named file')
    expect(tokenOf({ HF_HOME, HF_TOKEN_PATH: named, HF_TOKEN: ' given\n' })).toBe('given')
    expect(tokenOf({ HF_HOME, HF_TOKEN: '' })).toBe('stored')
    expect(tokenOf({ HF_HOME, HF_TOKEN: 'given', HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' })).toBeUndefined()
    expect(tokenOf({ HF_HOME: join(directory, 'none') })).toBeUndefined()
  })
})

describe('a proxy', () => {
  let server: HubServer
  let secure: Server
  let proxy: Server
  /** What the proxy was asked for: hosts of tunnels, and addresses. */
  const asked: string[] = []
  const directory = temporaryDirectoryOfFile()
  const portOf = (of: Server) => (of.address() as AddressInfo).port

  beforeAll(async () => {
    server = await HubServer.start()
    server.add('org/proxied', hubFiles(writeCheckpoint(join(directory, 'model'), { tensors: drawModel() })))
    const tunnel = (from: Socket, port: number, head?: Buffer) => {
      const to = connect(port, '127.0.0.1')
      for (const socket of [from, to]) socket.on('error', () => {})
      if (head) to.write(head)
      from.pipe(to).pipe(from)
    }
    secure = createTlsServer(selfSigned, (socket) => tunnel(socket, Number(new URL(server.endpoint).port)))
    const relay = createServer((from, to) => {
      asked.push(String(from.url))
      const { method, headers } = from
      from.pipe(
        request(String(from.url), { method, headers }, (answer) => {
          to.writeHead(answer.statusCode ?? 502, answer.headers)
          answer.pipe(to)
        }),
      )
    })
    relay.on('connect', ({ url }, socket: Socket, head: Buffer) => {
      asked.push(String(url))
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      // Only the proxy knows what hub.test is.
      const port = Number(String(url).split(':')[1])
      tunnel(socket, port === 1 ? portOf(secure) : port, head)
    })
    proxy = relay
    for (const each of [secure, proxy])
      await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', () => resolve()))
    writeFileSync(join(directory, 'trusted.pem'), selfSigned.cert)
  })
  afterAll(async () => {
    await server.close()
    for (const each of [secure, proxy]) each.close()
  })

  async function inspect(env: Record<string, string>) {
    asked.length = 0
    const { code, stdout, stderr } = await runCommand(['inspect', 'org/proxied', '--json'], {
      env: {
        HF_HUB_CACHE: temporaryDirectory(),
        HF_HOME: directory,
        HF_TOKEN: server.token,
        NODE_EXTRA_CA_CERTS: join(directory, 'trusted.pem'),
        NO_PROXY: '',
        ...env,
      },
    })
    expect({ code, stderr }).toMatchObject({ code: 0 })
    expect(JSON.parse(stdout).tensors).not.toHaveLength(0)
    return [...asked]
  }

  test('of HTTPS_PROXY leads to the Hub, and not to what is no https', async () => {
    const found = await inspect({
      HF_ENDPOINT: 'https://localhost:1',
      HTTPS_PROXY: `http://127.0.0.1:${portOf(proxy)}`,
    })
    expect(new Set(found)).toEqual(new Set(['localhost:1']))
  })

  test('is left out for the hosts of NO_PROXY', async () => {
    const env = {
      HF_ENDPOINT: `https://localhost:${portOf(secure)}`,
      HTTPS_PROXY: `http://127.0.0.1:${portOf(proxy)}`,
      NO_PROXY: 'localhost',
    }
    expect(await inspect(env)).toEqual([])
  })

  test('of HTTP_PROXY leads to the stores that are asked without https', async () => {
    const found = await inspect({ HF_ENDPOINT: server.endpoint, HTTP_PROXY: `http://127.0.0.1:${portOf(proxy)}` })
    const hosts = [new URL(server.endpoint).host, new URL(server.storeOrigin).host]
    for (const host of hosts) expect(found.some((each) => each.includes(host))).toBe(true)
  })
})
