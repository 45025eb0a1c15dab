// Runs the tests of a script: an object of functions whose names are sentences.
export function run(tests) {
    const names = Object.keys(tests);
    let failed = 0;

    for (const name of names) {
        try {
            tests[name]();
        } catch (e) {
            failed++;
            console.log(`FAILED ${name}: ${e.message}`);
        }
    }
    console.log(`${names.length - failed} passed, ${failed} failed`);
    process.exitCode = failed ? 1 : 0;
}
