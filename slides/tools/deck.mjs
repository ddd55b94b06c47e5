// The built deck, served to a browser that may talk to nobody else.
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { injectPreparserExtensionLoader, load } from '@slidev/parser/fs'
import { chromium } from 'playwright-chromium'
import { cutter, taken, wanted } from './cut.mjs'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Where the decks are, and in it the one that is asked for. */
export const ALL = join(ROOT, '../target/slides')
export const OUT = join(ALL, wanted())
export const [WIDTH, HEIGHT] = [980, 552]

const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css',
  '.svg': 'image/svg+xml', '.woff2': 'font/woff2', '.woff': 'font/woff', '.json': 'application/json',
}

/** The slides of a cut as their source has them: title, note, where they stand, what they take. */
export async function source(cut = wanted()) {
  injectPreparserExtensionLoader(async () => [cutter(cut, { times: false })])
  const { slides, headmatter } = await load({ userRoot: ROOT, roots: [ROOT] }, join(ROOT, 'slides.md'))
  const timed = slides.map(slide => ({ ...slide, ...taken(cut, slide.frontmatter, slide.note) }))
  return Object.assign(timed, { headmatter })
}

/** A deck's files, for this machine only. */
export function serve(folder, port = 0) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname))
    const file = join(folder, path.endsWith('/') ? `${path}index.html` : path)
    if (!existsSync(file) || !statSync(file).isFile())
      return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' })
    createReadStream(file).pipe(response)
  })
  return new Promise((done, fail) => server.once('error', fail).listen(port, '127.0.0.1', () => done(server)))
}

/** A browser that may talk to `origin` only; its pages have the rules of in-page.js. `problems`
 * collects what it complains about, and requests that leave this machine, which are stopped. */
export async function browse(origin, { scale = 1 } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'slides-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    viewport: { width: WIDTH, height: HEIGHT },
    deviceScaleFactor: scale,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
    ],
  })
  await context.addInitScript({ path: join(ROOT, 'tools/in-page.js') })
  const problems = []
  await context.route('**', (route) => {
    const url = route.request().url()
    if (url.startsWith(`${origin}/`) || url.startsWith('data:') || url.startsWith('blob:'))
      return route.continue()
    problems.push(`a request leaves the machine: ${url}`)
    return route.abort()
  })
  const page = context.pages()[0] ?? await context.newPage()
  page.on('console', message => message.type() === 'error' && problems.push(`console: ${message.text()}`))
  page.on('pageerror', error => problems.push(`error: ${error.message}`))
  page.on('response', response => response.status() >= 400 && problems.push(`${response.status()}: ${response.url()}`))
  async function close() {
    await context.close()
    rmSync(profile, { recursive: true, force: true })
  }
  return { page, close, problems }
}

/** Opens the deck. */
export async function open(options) {
  if (!existsSync(join(OUT, 'index.html')))
    throw new Error(`there is no deck in ${OUT}: run scripts/slides build`)
  const server = await serve(OUT)
  const origin = `http://127.0.0.1:${server.address().port}`
  const browser = await browse(origin, options)
  const { page, problems } = browser

  /** Shows a slide after so many clicks, with all of its fonts. */
  async function show(no, clicks = 99) {
    await page.goto(`${origin}/#/${no}?clicks=${clicks}`)
    const slide = page.locator(`.slidev-page-${no}`)
    await slide.waitFor({ state: 'visible' })
    await slide.locator('.slidev-slide-loading').waitFor({ state: 'detached' })
    await page.evaluate(() => document.fonts.ready)
    await page.waitForTimeout(80)
    await page.evaluate(() => Promise.all(document.getAnimations().map(it => it.finished.catch(() => {}))))
    return slide
  }
  /** Shows all slides below each other, as for the printer. */
  async function print(total) {
    await page.goto(`${origin}/?print=true#/print`)
    await page.waitForFunction(count => document.querySelectorAll('.print-slide-container').length === count, total)
    await page.waitForFunction(() => !document.querySelector('.slidev-slide-loading'))
    await page.evaluate(() => document.fonts.ready)
    await page.waitForTimeout(500)
    // No empty page behind the last one.
    await page.evaluate(() => [...document.querySelectorAll('.print-slide-container')].at(-1).style.setProperty('break-after', 'avoid', 'important'))
  }
  async function close() {
    await browser.close()
    server.close()
  }
  return { page, show, print, close, problems }
}
