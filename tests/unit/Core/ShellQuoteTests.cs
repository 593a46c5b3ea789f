using System.Diagnostics;
using System.Text;
using DoSandbox.Commands;
using FsCheck;
using FsCheck.Fluent;

namespace DoSandbox.UnitTests.Core;

public sealed class ShellQuoteTests
{
    [Fact]
    public async Task A_real_shell_reads_back_any_text()
    {
        string[] nasty = ["", "'", "''", "a'b", "\\", "$HOME", "`id`", "\n", "a\nb\n", "-n", "*", "\"", "ä€😀", " \t ", "!!", "%s", "\u0001\u007f\u001b[31m"];
        var texts = nasty.Concat(ArbMap.Default.GeneratorFor<string>().Sample(300, 20)
            .Select(text => Encoding.UTF8.GetString(Encoding.UTF8.GetBytes((text ?? "").Replace("\0", "", StringComparison.Ordinal))))).ToList();
        var script = string.Concat(texts.Select(text => $"printf '%s\\0' {ShellQuote.Quote(text)}\n"));

        using var shell = Process.Start(new ProcessStartInfo("/bin/sh") { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true })!;
        var output = new MemoryStream();
        var reading = shell.StandardOutput.BaseStream.CopyToAsync(output);
        await shell.StandardInput.BaseStream.WriteAsync(Encoding.UTF8.GetBytes(script));
        shell.StandardInput.Close();
        await reading;
        await shell.WaitForExitAsync();

        Assert.Equal(texts, Encoding.UTF8.GetString(output.ToArray()).Split('\0').SkipLast(1));
    }
}
