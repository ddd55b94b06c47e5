// Reads the code on a slide as a telephone does, and compares it with Cargo.toml.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import jsQR from 'jsqr'
import { ROOT } from './deck.mjs'
import { repositoryOf } from './repository.mjs'

/** What is wrong with the code on a slide. */
export async function qr(slide) {
  const address = repositoryOf(await readFile(join(ROOT, '../Cargo.toml'), 'utf8'))
  const text = await slide.innerText()
  if (!address)
    return text.includes('Cargo.toml') ? [] : ['there is no repository in Cargo.toml, and the slide does not say so']
  const picture = (await slide.screenshot()).toString('base64')
  const { pixels, width, height } = await slide.page().evaluate(async (png) => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob())
    const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d')
    canvas.drawImage(image, 0, 0)
    return { pixels: [...canvas.getImageData(0, 0, image.width, image.height).data], width: image.width, height: image.height }
  }, picture)
  const code = jsQR(Uint8ClampedArray.from(pixels), width, height)
  const wrong = []
  if (code?.data !== address)
    wrong.push(`its code says ${code?.data ?? 'nothing'}, Cargo.toml ${address}`)
  if (!text.includes(address.replace('https://', '')))
    wrong.push(`it does not show ${address}`)
  return wrong
}
