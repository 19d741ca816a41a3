import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'

const OTHER_SIDE = process.env['DROVER_URL'] ?? 'http://127.0.0.1:8787'

export default defineConfig({
  plugins: [vue()],
  build: {
    target: 'es2022',
    manifest: true,
    sourcemap: false,
    modulePreload: { polyfill: false },
    // MapLibre is large and comes apart: that is on purpose.
    chunkSizeWarningLimit: 1300,
    rolldownOptions: {
      input: ['index.html', 'driver.html', 'customer.html', 'sign-in.html', 'src/pages/driver/sw.ts'],
      output: {
        entryFileNames: ({ name }) => (name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js'),
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: 'assets/[name]-[hash][extname]',
      },
    },
  },
  server: {
    proxy: {
      '/api': OTHER_SIDE,
      '/config.json': OTHER_SIDE,
      '/streets.geojson': OTHER_SIDE,
      '/live-map': { target: OTHER_SIDE, ws: true },
    },
  },
  test: { include: ['tests/core/**/*.test.ts'] },
})
