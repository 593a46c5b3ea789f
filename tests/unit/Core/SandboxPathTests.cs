using System.Text.RegularExpressions;
using DoSandbox.Errors;
using DoSandbox.Files;
using FsCheck;
using FsCheck.Fluent;

namespace DoSandbox.UnitTests.Core;

public sealed class SandboxPathTests
{
    [Theory]
    [InlineData("/", "/")]
    [InlineData("//a//b/", "/a/b")]
    [InlineData("/a/./b/../c", "/a/c")]
    [InlineData("/../..", "/")]
    [InlineData("/a\nb/'c'/-d", "/a\nb/'c'/-d")]
    public void Paths_are_made_plain(string path, string plain) => Assert.Equal(plain, SandboxPath.Normalize(path));

    [Theory]
    [InlineData("")]
    [InlineData("a/b")]
    [InlineData("./a")]
    [InlineData("/a\0b")]
    public void What_is_no_absolute_path_is_refused(string path) =>
        Assert.Equal(SandboxErrorCode.InvalidArgument, Assert.Throws<SandboxException>(() => SandboxPath.Normalize(path)).Code);

    [Fact]
    public void A_name_may_have_255_bytes_and_no_more()
    {
        Assert.EndsWith("€", SandboxPath.Normalize("/" + new string('€', 85)), StringComparison.Ordinal);
        Assert.Throws<SandboxException>(() => SandboxPath.Normalize("/" + new string('€', 85) + "x"));
    }

    [Theory]
    [InlineData("*.py", "a.py", true)]
    [InlineData("*.py", ".py", false)]
    [InlineData(".*", ".py", true)]
    [InlineData("[a-c]?[!x]", "bqy", true)]
    [InlineData("[a-c]?[!x]", "bqx", false)]
    [InlineData("[]]", "]", true)]
    [InlineData("[abc", "[abc", true)]
    [InlineData("a`*b", "a*b", true)]
    [InlineData("a`*b", "axb", false)]
    [InlineData("a*b*c", "aXbYbZc", true)]
    [InlineData("*", "line\nend", true)]
    [InlineData("A*", "abc", false)]
    public void Wildcards_match_as_a_shell_does(string pattern, string name, bool matches) => Assert.Equal(matches, SandboxGlob.IsMatch(pattern, name));

    [Fact]
    public void Stars_and_question_marks_match_as_a_regular_expression_does()
    {
        var letters = Gen.Elements('a', 'b', '*', '?');
        var cases = from pattern in Gen.ListOf(letters)
                    from name in Gen.ListOf(Gen.Elements('a', 'b', 'c'))
                    select (Pattern: string.Concat(pattern), Name: string.Concat(name));
        Prop.ForAll(cases.ToArbitrary(), given =>
        {
            var regex = $"^{given.Pattern.Replace("*", ".*", StringComparison.Ordinal).Replace('?', '.')}$";
            return SandboxGlob.IsMatch(given.Pattern, given.Name) == Regex.IsMatch(given.Name, regex, RegexOptions.None, TimeSpan.FromSeconds(5));
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void An_escaped_name_finds_itself()
    {
        Prop.ForAll(ArbMap.Default.ArbFor<NonEmptyString>(), name => SandboxGlob.IsMatch(SandboxGlob.Escape(name.Get), name.Get) && !SandboxGlob.HasWildcards(SandboxGlob.Escape(name.Get)))
            .QuickCheckThrowOnFailure();
    }
}
